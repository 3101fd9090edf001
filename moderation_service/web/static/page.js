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
    need_key: "This service asks for an API key.", wrong_key: "This key is not known here.",
    unreachable: "The service did not answer.", ready: "Ready", not_ready: "Not ready", console: "Console",
    nothing: "Write a prompt, a response, or both.", examples: "Examples", example: "Example",
    errors: {}, category_names: null,
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
    need_key: "此服务需要 API 密钥。", wrong_key: "此密钥无效。", unreachable: "服务没有响应。", ready: "就绪",
    not_ready: "未就绪", console: "控制台", nothing: "请填写用户输入或模型回复。", examples: "示例", example: "示例",
    errors: {
      invalid_request: "请求内容有误。", forbidden: "没有权限。", host_not_allowed: "不能用这个地址访问此服务。",
      not_found: "此地址没有内容。", too_large: "文本太长，超过了服务的上限。", overloaded: "服务繁忙，请稍后再试。",
      rate_limited: "请求次数超过限制，请稍后再试。", internal_error: "服务内部出错，日志中有此请求的记录。",
      audit_unavailable: "无法写入审计记录，因此没有给出结果。", engine_error: "引擎出错，没有得到结论。",
      engine_answer_invalid: "引擎返回了无法识别的内容。", engine_unavailable: "引擎不可用。",
      deadline_exceeded: "引擎没有在规定时间内给出结论。",
    },
    category_names: {
      violent: "暴力", non_violent_illegal_acts: "非暴力违法行为", sexual_content: "色情内容或性行为", pii: "个人信息",
      suicide_self_harm: "自杀与自残", unethical_acts: "不道德行为", politically_sensitive_topics: "政治敏感话题",
      copyright_violation: "侵犯版权", jailbreak: "越狱攻击",
    },
  },
};

const EXAMPLES = [
  { en: ["How can I make a bomb?", ""], zh: ["怎么制作炸弹？", ""] },
  { en: ["How do I bake bread?", ""], zh: ["怎么烤面包？", ""] },
  { en: ["How do I pick a lock?", "I can't help with that."], zh: ["怎么撬锁？", "抱歉，我不能提供帮助。"] },
];
const KEPT = ["prompt", "response", "key"];

const $ = (id) => document.getElementById(id);
// What was typed outlives a reload, and not the tab; the language is remembered. A browser may refuse both.
function remembered(store, name) {
  try { return window[store].getItem(`moderation.${name}`); } catch { return null; }
}
function remember(store, name, value) {
  try { window[store].setItem(`moderation.${name}`, value); } catch { /* it works without */ }
}

let language = remembered("localStorage", "language") ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
let last = null;
let engine = null;
let problem = null;
const say = (name) => TEXTS[language][name] ?? name;

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = say("title");
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = say(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", say(node.dataset.label));
  for (const node of document.querySelectorAll("[data-placeholder]")) node.placeholder = say(node.dataset.placeholder);
  $("language").textContent = say("other");
  $("examples").replaceChildren(...EXAMPLES.map((texts, number) => {
    const button = document.createElement("button");
    [button.type, button.className, button.textContent] = ["button", "quiet", texts[language][0]];
    button.setAttribute("aria-label", `${say("example")} ${number + 1}: ${texts[language].filter(Boolean).join(" / ")}`);
    button.addEventListener("click", () => {
      [$("prompt").value, $("response").value] = texts[language];
      keepTexts();
    });
    return button;
  }));
  if (last) show(last.decision, last.body);
  showEngine();
  if (problem) fail(problem);
}

function keepTexts() {
  for (const name of KEPT) remember("sessionStorage", name, $(name).value);
}

function headers() {
  const found = { "Content-Type": "application/json", "Accept-Language": document.documentElement.lang };
  if ($("key").value) found["Authorization"] = `Bearer ${$("key").value}`;
  return found;
}

// `said` makes the text, so that it changes with the language.
function fail(said) {
  problem = said;
  last = null;
  $("error").textContent = said();
  $("error").hidden = false;
  $("result").hidden = true;
}

function show(decision, body) {
  last = { decision, body };
  problem = null;
  const safety = decision.safety ?? "no_verdict";
  $("action").textContent = say(decision.action);
  $("action").className = `badge is-${decision.action}`;
  $("safety").textContent = say(safety);
  $("safety").className = `is-${safety}`;
  const names = say("category_names");
  $("categories").textContent = decision.categories
    .map((id, number) => names?.[id] ?? decision.category_names[number]).join(language === "zh" ? "、" : ", ");
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
  // The key itself is not written down: pages are shown and copied.
  const key = $("key-field").hidden ? "" : ` -H "Authorization: Bearer $MODERATION_KEY"`;
  $("curl").textContent = `curl -s ${address}${key} -H 'Content-Type: application/json' -d '${quoted}'`;
  $("error").hidden = true;
  $("result").hidden = false;
}

function told(answer) {
  const error = answer?.error ?? {};
  return () => say("errors")[error.type] ?? error.message ?? say("unreachable");
}

async function check(event) {
  event.preventDefault();
  const body = {};
  if ($("prompt").value.trim()) body.prompt = $("prompt").value;
  if ($("response").value.trim()) body.response = $("response").value;
  if (!Object.keys(body).length) {
    $("prompt").focus();
    return fail(() => say("nothing"));
  }
  if ($("policy").value) body.policy = $("policy").value;
  $("submit").disabled = true;
  try {
    const reply = await fetch("moderate", { method: "POST", headers: headers(), body: JSON.stringify(body) });
    const answer = await reply.json();
    if (reply.ok) show(answer, body);
    else if (reply.status === 401) askForKey();
    else fail(told(answer));
  } catch {
    fail(() => say("unreachable"));
  } finally {
    $("submit").disabled = false;
    loadEngine();
  }
}

function askForKey() {
  const isWrong = $("key").value !== "";
  $("key-field").hidden = false;
  $("key").focus();
  fail(() => say(isWrong ? "wrong_key" : "need_key"));
}

async function loadPolicies() {
  const reply = await fetch("policies", { headers: headers() });
  if (reply.status === 401) return askForKey();
  const { policies, default: standard } = await reply.json();
  $("policy").replaceChildren(...policies.map((policy) => {
    const option = document.createElement("option");
    option.value = option.textContent = policy.name;
    option.selected = policy.name === standard;
    return option;
  }));
  $("policies").replaceChildren(...policies.flatMap((policy) => {
    const [name, said] = [document.createElement("dt"), document.createElement("dd")];
    [name.textContent, said.textContent] = [policy.name, policy.description];
    return [name, said];
  }));
  if ($("key").value) $("key-field").hidden = false;
  if (problem) { problem = null; $("error").hidden = true; }
}

async function loadEngine() {
  try {
    const reply = await fetch("readyz");
    const state = await reply.json();
    const why = reply.ok ? null : told(state);
    engine = () => (why ? `${say("not_ready")}: ${why()}` : `${say("ready")}: ${state.model}`);
  } catch {
    engine = () => say("unreachable");
  }
  showEngine();
}

function showEngine() {
  $("engine").textContent = engine ? engine() : "";
}

$("form").addEventListener("submit", check);
$("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("form").requestSubmit();
});
$("form").addEventListener("input", keepTexts);
$("key").addEventListener("change", () => loadPolicies().catch(() => fail(() => say("unreachable"))));
$("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  remember("localStorage", "language", language);
  translate();
});
for (const name of KEPT) $(name).value = remembered("sessionStorage", name) ?? $(name).value;
translate();
loadEngine();
loadPolicies().catch(() => fail(() => say("unreachable")));
// A page that stays open must not go on saying what was so an hour ago.
setInterval(() => { if (!document.hidden) loadEngine(); }, 30000);
