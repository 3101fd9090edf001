// The page to try the service. Text from anywhere is only ever set as textContent or a form value, never as HTML.

const TEXTS = {
  en: {
    title: "Moderation service", prompt: "The user's prompt", prompt_hint: "What a user would type",
    response: "The model's response", optional: "optional: then the response is judged", policy: "Policy",
    key: "API key", check: "Check", safe: "safe", controversial: "controversial", unsafe: "unsafe",
    raw: "The reply", same: "The same with curl", policies: "Policies", other: "中文",
    allow: "allow", flag: "flag", block: "block", no_verdict: "no verdict",
    judged_prompt: "The prompt was judged", judged_response: "The response was judged",
    refusal_yes: "the response declines to help", refusal_no: "the response does not decline",
    engine: "engine", took: "took", cached: "from the cache", degraded: "degraded", windows: "windows", span: "characters",
    partial: "The engine knows this text's language less well than English and Chinese: expect more mistakes.",
    none: "The engine does not know the language of this text, or of a part of it: the verdict says next to nothing.",
    lite: "Judged by the embedded engine (lite). It catches explicit requests, misses many disguised ones, its " +
      "categories are hints, and its scores are no probabilities. Qwen3Guard on a GPU judges far better.",
    need_key: "This service asks for an API key.", unreachable: "The service did not answer.", ready: "Ready",
    not_ready: "Not ready",
  },
  zh: {
    title: "内容审核服务", prompt: "用户输入", prompt_hint: "用户会输入的内容",
    response: "模型回复", optional: "可选：填写后审核的是回复", policy: "策略",
    key: "API 密钥", check: "检测", safe: "安全", controversial: "有争议", unsafe: "不安全",
    raw: "返回内容", same: "等价的 curl 命令", policies: "策略列表", other: "English",
    allow: "放行", flag: "标记", block: "拦截", no_verdict: "无结论",
    judged_prompt: "审核对象：用户输入", judged_response: "审核对象：模型回复",
    refusal_yes: "回复拒绝了请求", refusal_no: "回复没有拒绝",
    engine: "引擎", took: "用时", cached: "来自缓存", degraded: "降级", windows: "窗口数", span: "字符位置",
    partial: "引擎对这段文本所用的语言掌握得不如中文和英文，误判会更多。",
    none: "引擎不认识这段文本（或其中一部分）所用的语言，这个结论几乎没有参考价值。",
    lite: "由内置引擎（lite）判定：能识别直白的有害请求，会漏掉许多伪装过的请求，类别仅供参考，分数不是概率。GPU 上的 Qwen3Guard 准确得多。",
    need_key: "此服务需要 API 密钥。", unreachable: "服务没有响应。", ready: "就绪", not_ready: "未就绪",
  },
};

const $ = (id) => document.getElementById(id);
let language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
let last = null;
const say = (name) => TEXTS[language][name] ?? name;

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = say("title");
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = say(node.dataset.text);
  for (const node of document.querySelectorAll("[data-placeholder]")) node.placeholder = say(node.dataset.placeholder);
  $("language").textContent = say("other");
  if (last) show(last.decision, last.body);
}

function headers() {
  const found = { "Content-Type": "application/json", "Accept-Language": document.documentElement.lang };
  if ($("key").value) found["Authorization"] = `Bearer ${$("key").value}`;
  return found;
}

function fail(text) {
  $("error").textContent = text;
  $("error").hidden = false;
  $("result").hidden = true;
}

function show(decision, body) {
  last = { decision, body };
  const safety = decision.safety ?? "no_verdict";
  $("action").textContent = say(decision.action);
  $("action").className = `badge is-${decision.action}`;
  $("safety").textContent = say(safety);
  $("safety").className = `is-${safety}`;
  $("categories").textContent = decision.category_names.join(", ");
  $("message").hidden = !decision.message;
  $("message").textContent = decision.message ?? "";
  $("scores").hidden = !decision.scores;
  for (const [name, value] of Object.entries(decision.scores ?? {})) {
    $(`score-${name}`).value = value;
    $(`value-${name}`).textContent = value.toFixed(3);
  }
  const facts = [say(`judged_${decision.target}`)];
  if (decision.refusal !== null) facts.push(say(decision.refusal ? "refusal_yes" : "refusal_no"));
  facts.push(`${say("engine")}: ${decision.model}`);
  if (decision.windows > 1) facts.push(`${say("windows")}: ${decision.windows}`);
  if (decision.span) facts.push(`${say("span")}: ${decision.span.start}–${decision.span.end}`);
  if (decision.degraded) facts.push(say("degraded"));
  if (decision.cached) facts.push(say("cached"));
  facts.push(`${say("took")} ${decision.latency_ms.toFixed(1)} ms`);
  $("facts").textContent = facts.join(" · ");
  $("coverage").hidden = !["partial", "none"].includes(decision.coverage);
  $("coverage").textContent = say(decision.coverage);
  $("lite-note").hidden = decision.engine !== "lite";
  $("lite-note").textContent = say("lite");
  $("raw").textContent = JSON.stringify(decision, null, 2);
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  const address = new URL("moderate", location.href).href;
  $("curl").textContent = `curl -s ${address} -H 'Content-Type: application/json' -d '${quoted}'`;
  $("error").hidden = true;
  $("result").hidden = false;
}

async function check(event) {
  event.preventDefault();
  const body = {};
  if ($("prompt").value.trim()) body.prompt = $("prompt").value;
  if ($("response").value.trim()) body.response = $("response").value;
  if ($("policy").value) body.policy = $("policy").value;
  $("submit").disabled = true;
  try {
    const reply = await fetch("moderate", { method: "POST", headers: headers(), body: JSON.stringify(body) });
    const answer = await reply.json();
    if (reply.ok) show(answer, body);
    else if (reply.status === 401) askForKey();
    else fail(answer.error.message);
  } catch {
    fail(say("unreachable"));
  } finally {
    $("submit").disabled = false;
  }
}

function askForKey() {
  $("key-field").hidden = false;
  $("key").focus();
  fail(say("need_key"));
}

async function loadPolicies() {
  const reply = await fetch("policies", { headers: headers() });
  if (reply.status === 401) return askForKey();
  const { policies, default: standard } = await reply.json();
  $("policy").replaceChildren(...policies.map((policy) => {
    const option = document.createElement("option");
    option.value = option.textContent = policy.name;
    option.title = policy.description;
    option.selected = policy.name === standard;
    return option;
  }));
}

async function loadEngine() {
  const reply = await fetch("readyz");
  const state = await reply.json();
  $("engine").textContent = reply.ok ? `${say("ready")}: ${state.model}` : `${say("not_ready")}: ${state.error.message}`;
}

$("form").addEventListener("submit", check);
$("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
});
$("key").addEventListener("change", () => loadPolicies().catch(() => fail(say("unreachable"))));
$("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  translate();
  loadEngine().catch(() => fail(say("unreachable")));
});
translate();
Promise.all([loadPolicies(), loadEngine()]).catch(() => fail(say("unreachable")));
