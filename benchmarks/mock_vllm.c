/* mock_vllm: a stand-in for vLLM that answers with recorded replies after a fixed delay.
 *
 *   cc -O2 -o mock_vllm mock_vllm.c
 *   ./mock_vllm -p PORT -d DELAY_MS -u PROMPT_REPLY -a RESPONSE_REPLY -t TOKENIZE_REPLY
 *
 *   -p PORT      port on 127.0.0.1 (default 9100)
 *   -d DELAY_MS  time between a request's last byte and its answer, fractions allowed (default 0)
 *   -u FILE      JSON for a chat request of user turns only
 *   -a FILE      JSON for a chat request with an assistant turn in it
 *   -t FILE      JSON for POST /tokenize, at once
 *
 * GET /health gets an empty 200, GET /v1/models a list with one model, both at once. HTTP/1.1 keep-alive and
 * pipelining work; chunked request bodies do not. One thread: about 100,000 requests/s on one core, 6-9 us of CPU
 * each, so it is never what a gateway waits for. On SIGTERM or SIGINT it prints how many chat requests it answered.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_FD 16384
#define HEAD_MAX 32768          /* longest request head */
#define QUEUE 65536             /* answers that can wait at once; a power of two */

typedef struct {
    char buf[HEAD_MAX + 1];
    size_t len;
    size_t skip;                /* body bytes still to be thrown away */
    enum { OTHER, CHAT, TOKENIZE } kind;    /* of the request whose body is being skipped */
    int is_harmful;             /* the body has the question by which a guard is tried before it is used */
    int has_assistant;          /* the body speaks of an assistant; it must come in one piece for that */
    int in_body;
} Conn;

typedef struct { char *data; size_t len; } Reply;
typedef struct { int fd; uint32_t generation; int64_t due; const Reply *reply; } Pending;

static Conn *conns[MAX_FD];
static uint32_t generations[MAX_FD];    /* so that a late answer never goes to a new connection */
static Pending queue[QUEUE];
static unsigned queue_head, queue_tail; /* the delay is constant, so first in is first out */
static int epoll_fd, timer_fd;
static int64_t delay_ns;
static Reply prompt_reply, response_reply, tokenize_reply, harmful_reply;
static uint64_t answered;
static volatile sig_atomic_t stopping;

static const char HEALTH[] = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
static const char MODELS_BODY[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"qwen3guard\",\"object\":\"model\",\"created\":1795000000,"
    "\"owned_by\":\"vllm\",\"root\":\"qwen3guard\",\"max_model_len\":32768}]}";
static const char NOT_FOUND[] = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
static char models[512];

static void on_signal(int number) { (void)number; stopping = 1; }

static void die(const char *what) { perror(what); exit(1); }

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void close_conn(int fd) {
    generations[fd]++;
    close(fd);
}

/* Sends everything; waits for room if the socket is full. A dead peer is noticed by the next read. */
static void send_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n >= 0) { data += n; len -= (size_t)n; continue; }
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return;
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (poll(&p, 1, 1000) <= 0) return;
    }
}

static void arm_timer(int64_t due) {
    struct itimerspec t = {0};
    t.it_value.tv_sec = due / 1000000000;
    t.it_value.tv_nsec = due % 1000000000;
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static void reply_chat(int fd, const Reply *reply) {
    answered++;
    if (delay_ns == 0 || queue_tail - queue_head == QUEUE) {
        send_all(fd, reply->data, reply->len);
        return;
    }
    Pending *p = &queue[queue_tail++ % QUEUE];
    *p = (Pending){fd, generations[fd], now_ns() + delay_ns, reply};
    if (queue_tail - queue_head == 1) arm_timer(p->due);
}

static void on_timer(void) {
    uint64_t expirations;
    if (read(timer_fd, &expirations, sizeof expirations) < 0) return;
    int64_t until = now_ns() + 20000;       /* answers due within 20 us go out together */
    while (queue_head != queue_tail && queue[queue_head % QUEUE].due <= until) {
        Pending *p = &queue[queue_head++ % QUEUE];
        if (generations[p->fd] == p->generation) send_all(p->fd, p->reply->data, p->reply->len);
    }
    if (queue_head != queue_tail) arm_timer(queue[queue_head % QUEUE].due);
}

/* The value of a header inside head[0..len), or NULL. */
static const char *header(const char *head, size_t len, const char *name) {
    size_t name_len = strlen(name);
    const char *line = memchr(head, '\n', len), *end = head + len;
    while (line && line + 1 + name_len < end) {
        line++;
        if (strncasecmp(line, name, name_len) == 0 && line[name_len] == ':') {
            const char *value = line + name_len + 1;
            while (*value == ' ') value++;
            return value;
        }
        line = memchr(line, '\n', (size_t)(end - line));
    }
    return NULL;
}

static void finish_request(int fd, Conn *c) {
    c->in_body = 0;
    if (c->kind == CHAT && c->is_harmful) reply_chat(fd, &harmful_reply);
    else if (c->kind == CHAT) reply_chat(fd, c->has_assistant ? &response_reply : &prompt_reply);
    else if (c->kind == TOKENIZE) send_all(fd, tokenize_reply.data, tokenize_reply.len);
}

static void on_readable(int fd) {
    Conn *c = conns[fd];
    ssize_t n = read(fd, c->buf + c->len, HEAD_MAX - c->len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { close_conn(fd); return; }
    c->len += (size_t)n;
    for (;;) {
        if (c->in_body) {
            size_t take = c->skip < c->len ? c->skip : c->len;
            if (take && memmem(c->buf, take, "\"assistant\"", 11)) c->has_assistant = 1;
            if (take && memmem(c->buf, take, "make a bomb?", 12)) c->is_harmful = 1;
            memmove(c->buf, c->buf + take, c->len - take);
            c->len -= take;
            c->skip -= take;
            if (c->skip > 0) return;
            finish_request(fd, c);
        }
        c->buf[c->len] = 0;
        char *blank = memmem(c->buf, c->len, "\r\n\r\n", 4);
        if (!blank) {
            if (c->len == HEAD_MAX) close_conn(fd);     /* head too long */
            return;
        }
        size_t head_len = (size_t)(blank - c->buf) + 4;
        const char *length = header(c->buf, head_len, "content-length");
        c->skip = length ? strtoul(length, NULL, 10) : 0;
        c->kind = strncmp(c->buf, "POST /v1/chat/completions", 25) == 0 ? CHAT
                  : strncmp(c->buf, "POST /tokenize", 14) == 0 ? TOKENIZE : OTHER;
        c->has_assistant = c->is_harmful = 0;
        c->in_body = 1;
        if (c->kind == OTHER) {
            if (strncmp(c->buf, "GET /health", 11) == 0) send_all(fd, HEALTH, sizeof HEALTH - 1);
            else if (strncmp(c->buf, "GET /v1/models", 14) == 0) send_all(fd, models, strlen(models));
            else send_all(fd, NOT_FOUND, sizeof NOT_FOUND - 1);
        }
        memmove(c->buf, c->buf + head_len, c->len - head_len);
        c->len -= head_len;
    }
}

static void on_connect(int listener) {
    int one = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FD || (!conns[fd] && !(conns[fd] = malloc(sizeof(Conn))))) { close(fd); continue; }
        conns[fd]->len = conns[fd]->skip = 0;
        conns[fd]->in_body = 0;
        generations[fd]++;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static char *read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) die(path);
    char *text = NULL;
    size_t len = 0, room = 0, n;
    do {
        if (room - len < 4096 && !(text = realloc(text, room = room * 2 + 8192))) die("realloc");
        n = fread(text + len, 1, room - len - 1, f);
        len += n;
    } while (n > 0);
    fclose(f);
    text[len] = 0;
    return text;
}

/* A whole HTTP reply with the JSON of a file. */
static Reply reply_of(const char *path) {
    char *body = read_file(path);
    Reply reply;
    int len = asprintf(&reply.data,
        "HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 03:00:00 GMT\r\nserver: uvicorn\r\n"
        "content-length: %zu\r\ncontent-type: application/json\r\n\r\n%s", strlen(body), body);
    if (len < 0) die("asprintf");
    free(body);
    reply.len = (size_t)len;
    return reply;
}

int main(int argc, char **argv) {
    int port = 9100, option, one = 1;
    while ((option = getopt(argc, argv, "p:d:u:a:t:h:")) != -1) {
        if (option == 'p') port = atoi(optarg);
        else if (option == 'd') delay_ns = (int64_t)(atof(optarg) * 1e6);
        else if (option == 'u') prompt_reply = reply_of(optarg);
        else if (option == 'a') response_reply = reply_of(optarg);
        else if (option == 'h') harmful_reply = reply_of(optarg);
        else if (option == 't') tokenize_reply = reply_of(optarg);
        else return 2;
    }
    if (!prompt_reply.data || !response_reply.data || !tokenize_reply.data || !harmful_reply.data) {
        fprintf(stderr, "usage: %s [-p PORT] [-d DELAY_MS] -u FILE -a FILE -t FILE -h FILE\n", argv[0]);
        return 2;
    }
    snprintf(models, sizeof models, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
             sizeof MODELS_BODY - 1, MODELS_BODY);

    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) die("bind");
    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = timer_fd;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event);

    while (!stopping) {
        int n = epoll_wait(epoll_fd, ready, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) on_connect(listener);
            else if (fd == timer_fd) on_timer();
            else on_readable(fd);
        }
    }
    printf("%" PRIu64 " chat requests answered\n", answered);
    return 0;
}
