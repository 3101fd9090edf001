/* load: keeps a number of HTTP connections busy, each with one request at a time, and says how that went.
 *
 *   cc -O2 -o load load.c
 *   ./load PORT CLIENTS SECONDS WARM_UP REQUEST_FILE FIRST_NUMBER PID...
 *
 * The file holds a whole request; every "########" in it becomes the number of the request, so that no two are the
 * same. After WARM_UP replies it measures for SECONDS, and then prints, with the CPU time of the processes PID...,
 *
 *   REQUESTS SECONDS CPU_SECONDS P50_MS P99_MS STATUS:COUNT...
 *
 * Under 10 us of CPU per request, so that what is measured has the machine for itself. Ends with 1 on anything that
 * is not a reply with Content-Length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CLIENTS 4096
#define REPLY_MAX 65536
#define MAX_SAMPLES 20000000
#define MAX_NUMBERS 16

typedef struct { int fd; size_t len; int64_t sent; char buf[REPLY_MAX + 1]; } Client;

static char *request;
static size_t request_len;
static char *number_at[MAX_NUMBERS];
static size_t number_places;
static unsigned long number;
static long statuses[1000];

static void die(const char *what) { perror(what); exit(1); }

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* User and system time of processes so far, in seconds. */
static double cpu_seconds(int count, char **pids) {
    double total = 0;
    for (int i = 0; i < count; i++) {
        clockid_t clock;
        struct timespec t;
        if (clock_getcpuclockid(atoi(pids[i]), &clock) || clock_gettime(clock, &t)) die(pids[i]);
        total += (double)t.tv_sec + (double)t.tv_nsec / 1e9;
    }
    return total;
}

static void send_request(Client *c) {
    char digits[16];
    snprintf(digits, sizeof digits, "%08lu", number++ % 100000000UL);
    for (size_t i = 0; i < number_places; i++) memcpy(number_at[i], digits, 8);
    c->len = 0;
    c->sent = now_ns();
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len) die("send");
}

/* The status of the reply once it is complete, else 0. */
static int status_of(Client *c) {
    c->buf[c->len] = 0;
    char *blank = strstr(c->buf, "\r\n\r\n");
    if (!blank) return 0;
    char *length = strcasestr(c->buf, "\r\ncontent-length:");
    if (!length || length > blank) { fprintf(stderr, "no Content-Length\n"); exit(1); }
    size_t head = (size_t)(blank - c->buf) + 4;
    return c->len >= head + strtoul(length + 17, NULL, 10) ? atoi(c->buf + 9) : 0;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void read_request(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) die(path);
    request = calloc(1, 1 << 20);
    request_len = fread(request, 1, (1 << 20) - 1, f);
    fclose(f);
    for (char *at = request; (at = strstr(at, "########")); at += 8) {
        if (number_places == MAX_NUMBERS) { fprintf(stderr, "too many numbers\n"); exit(2); }
        number_at[number_places++] = at;
    }
}

int main(int argc, char **argv) {
    if (argc < 7) {
        fprintf(stderr, "usage: %s PORT CLIENTS SECONDS WARM_UP REQUEST_FILE FIRST_NUMBER PID...\n", argv[0]);
        return 2;
    }
    int clients = atoi(argv[2]), one = 1, epoll_fd = epoll_create1(0);
    int64_t length_ns = (int64_t)(atof(argv[3]) * 1e9);
    long warm_up = atol(argv[4]);
    read_request(argv[5]);
    number = strtoul(argv[6], NULL, 10);
    if (clients < 1 || clients > MAX_CLIENTS) return 2;
    Client *all = calloc((size_t)clients, sizeof(Client));
    uint32_t *samples = malloc(MAX_SAMPLES * sizeof(uint32_t));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < clients; i++) {
        all[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(all[i].fd, (struct sockaddr *)&address, sizeof address)) die("connect");
        setsockopt(all[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, all[i].fd, &event);
        send_request(&all[i]);
    }
    int64_t begun = 0, now = 0;
    double cpu = 0;
    size_t count = 0;
    struct epoll_event ready[256];
    while (!begun || now < begun + length_ns) {
        int n = epoll_wait(epoll_fd, ready, 256, 100);
        now = now_ns();
        if (!begun && warm_up <= 0) { begun = now; cpu = -cpu_seconds(argc - 7, argv + 7); }
        for (int i = 0; i < n; i++) {
            Client *c = ready[i].data.ptr;
            ssize_t got = recv(c->fd, c->buf + c->len, REPLY_MAX - c->len, 0);
            if (got <= 0) { fprintf(stderr, "connection lost\n"); return 1; }
            c->len += (size_t)got;
            int status = status_of(c);
            if (!status) continue;
            if (!begun) warm_up--;
            else if (count < MAX_SAMPLES) {
                samples[count++] = (uint32_t)((now - c->sent) / 1000);
                statuses[status % 1000]++;
            }
            send_request(c);
        }
    }
    cpu += cpu_seconds(argc - 7, argv + 7);
    if (!count) { fprintf(stderr, "no reply\n"); return 1; }
    qsort(samples, count, sizeof *samples, by_value);
    printf("%zu %.6f %.6f %.3f %.3f", count, (double)(now - begun) / 1e9, cpu,
           samples[count / 2] / 1e3, samples[(size_t)((double)count * 0.99)] / 1e3);
    for (int i = 0; i < 1000; i++) if (statuses[i]) printf(" %d:%ld", i, statuses[i]);
    puts("");
    return 0;
}
