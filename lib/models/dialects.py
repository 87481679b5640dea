"""The errors of model servers: one table of their wordings, each with its meaning and its source.

A row matches an error by `codes` (its code, type, status or reason) or by `words` (a case-insensitive pattern for its
message). An error may quote the tester's question, so every pattern spans several words or is a class name: no single
word of a question matches one. The first row that matches counts. Pure.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Meaning = Literal[
    "context_full", "filtered", "system_role", "bad_key", "no_model", "quota", "limit", "busy", "loading", "parameter"
]
"""The cause of an error.

- `quota`: the account is used up; waiting does not help.
- `busy`: a limit that passes by itself.
- `limit`: `quota` or `busy`; the delay that the server asks for decides.
- `loading`: the server is still loading the model.
- `parameter`: the model does not support a parameter or its value.
"""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One server's wording of one error. Empty `statuses` match any HTTP status."""

    name: str
    meaning: Meaning
    source: str
    words: str | None = None
    codes: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()

    def matches(self, status: int | None, codes: Collection[str], text: str) -> bool:
        """Return True if this row describes the error. `status` is None where no HTTP status is known."""
        if self.statuses and status not in self.statuses:
            return False
        if self.codes and not self.codes.isdisjoint(codes):
            return True
        return self.words is not None and re.search(self.words, text, re.IGNORECASE) is not None


def meaning_of(status: int | None, codes: Collection[str], text: str) -> Meaning | None:
    """Return the meaning of an error; None if no row matches. The caller removes the question's words from `text`.

    >>> meaning_of(400, (), "some/model is not a valid model ID")
    'no_model'
    """
    return next((row.meaning for row in DIALECTS if row.matches(status, codes, text)), None)


def _row(
    name: str, meaning: Meaning, source: str, words: str | None = None, codes: str = "", statuses: tuple[int, ...] = ()
) -> Dialect:
    return Dialect(name, meaning, source, words, frozenset(codes.split()), frozenset(statuses))


_N = r"[\d,]+"
# fmt: off
DIALECTS: tuple[Dialect, ...] = (
    # Set-up and keys. They come first because their messages may also name models and parameters.
    _row("litellm budget", "quota", "BerriAI/litellm #14144, #36729: budget_exceeded with 400, 422 or 429",
         r"budget has been exceeded|Exceeded(?:Token)?Budget|BudgetExceededError|exceeded (?:your )?budget",
         "budget_exceeded"),
    _row("litellm model access", "no_model", "BerriAI/litellm proxy/_types.py ProxyErrorTypes",
         r"not allowed to access (?:this )?model", "key_model_access_denied team_model_access_denied"),
    _row("litellm no database", "bad_key", "BerriAI/litellm #12273, #4880: a key that is not the master key",
         r"no connected db", "no_db_connection"),
    _row("openai key", "bad_key", "platform.openai.com error codes: 401 invalid_api_key; LiteLLM passes it on",
         r"incorrect api key provided|invalid api key|api key (?:is )?(?:missing|invalid)",
         "invalid_api_key invalidapikey"),
    _row("gemini key", "bad_key", "google-gemini/gemini-cli #5377; ai.google.dev troubleshooting: HTTP 400",
         r"api key not valid|api key expired|api key not found", "api_key_invalid api_key_expired"),
    _row("litellm key", "bad_key", "BerriAI/litellm proxy/auth: type auth_error, token_not_found_in_db",
         r"AuthenticationError|invalid proxy server token|Authentication Error, ",
         "auth_error token_not_found_in_db expired_key"),
    _row("openrouter key", "bad_key", "openrouter.ai errors: 401",
         r"no (?:auth credentials|cookie auth credentials) found|user not found", statuses=(401,)),
    _row("deepseek key", "bad_key", "api-docs.deepseek.com error codes: 401", r"authentication fails"),
    _row("anthropic key", "bad_key", "docs.anthropic.com errors: authentication_error",
         r"invalid x-api-key", "authentication_error"),
    _row("azure key", "bad_key", "learn.microsoft.com Azure OpenAI: 401",
         r"access denied due to invalid (?:subscription key|credentials)", statuses=(401, 403)),

    _row("minimax key", "bad_key", "MiniMax error codes: 1004 in base_resp, HTTP 200", r"^login fail"),
    _row("azure api version", "bad_key", "learn.microsoft.com Azure OpenAI: api-version",
         r"api[- ]version (?:is )?(?:not (?:valid|supported)|invalid|missing)|api-version .{0,40}is not valid"
         r"|only for api versions|missing .{0,40}api-version", "invalidapiversionparameter missingapiversionparameter"),
    _row("region or organization", "bad_key", "Gemini FAILED_PRECONDITION, OpenAI 403, Groq organization_restricted",
         r"location is not supported for the api|country, region, or territory not supported"
         r"|organization has been (?:restricted|disabled)|missing or invalid authorization header",
         "organization_restricted unsupported_country_region_territory"),
    _row("no chat template", "bad_key", "vllm-project/vllm #7978, huggingface/transformers 4.44: a base model",
         r"chat template is no longer allowed|must provide a chat template|chat_template is not set"
         r"|does(?: not|n't) have a chat template"),

    # Prompts that a content filter stopped.
    _row("azure filter", "filtered", "Azure OpenAI content filter, HTTP 400; stanford-crfm/helm PR #3327",
         r"filtered (?:due to the prompt triggering|by the content management policy)|content management policy",
         "content_filter responsibleaipolicyviolation"),
    _row("openai policy", "filtered", "platform.openai.com: content_policy_violation, invalid_prompt",
         r"flagged as potentially violating our usage policy", "content_policy_violation invalid_prompt"),
    _row("litellm filter", "filtered", "docs.litellm.ai exception mapping: ContentPolicyViolationError; guardrails",
         r"ContentPolicyViolationError|violated guardrail policy|blocked (?:by|entity detected).{0,60}guardrail"
         r"|guardrail.{0,40}(?:blocked|intervened|violat)|violated content safety policy",
         "contentpolicyviolationerror guardrail_intervened guardrail_violation"),
    _row("openrouter moderation", "filtered", "openrouter.ai errors: 403 with metadata.reasons",
         r"requires moderation on|input was flagged|flagged (?:by|for) ", statuses=(403,)),
    _row("deepseek filter", "filtered", "deepseek-ai/awesome-deepseek-integration #13, DeepSeek-V2 #30: 400",
         r"content exists risk"),
    _row("qwen filter", "filtered", "help.aliyun.com DashScope error codes",
         r"may contain inappropriate content", "data_inspection_failed datainspectionfailed"),
    _row("gemini filter", "filtered", "ai.google.dev safety settings: blocked prompts",
         r"prompt was blocked|blocked due to safety|PROHIBITED_CONTENT", "prohibited_content"),
    _row("anthropic filter", "filtered", "anthropics/claude-code issues: 400",
         r"output blocked by content filtering policy"),
    _row("moonshot filter", "filtered", "platform.moonshot.cn errors: content_filter",
         r"request was rejected because it was considered high risk"),
    _row("xai filter", "filtered", "docs.x.ai errors: 403", r"content violates usage guidelines"),

    # Prompts that are longer than the model's context.
    _row("openai context", "context_full", "platform.openai.com: context_length_exceeded; Groq, Azure, DeepSeek",
         rf"maximum context length (?:is|of) {_N}|reduce the length of the messages|context length exceeded",
         "context_length_exceeded"),
    _row("vllm context", "context_full", "vllm-project/vllm #20409, #33418, entrypoints/openai/serving_engine.py",
         rf"longer than the maximum model length|model's context length is only {_N}|maximum model length of {_N}"
         rf"|maximum input length of {_N}|max_tokens={_N} cannot be greater than max_model_len|fewer output tokens"),
    _row("llama.cpp context", "context_full", "ggml-org/llama.cpp PR #15780, #14566; abetlen/llama-cpp-python",
         r"exceeds? the available context size|context size (?:has been )?exceeded|context shift is disabled"
         rf"|requested tokens \({_N}\) exceed context window",
         "exceed_context_size_error"),
    _row("litellm context", "context_full", "docs.litellm.ai exception mapping: ContextWindowExceededError",
         r"ContextWindowExceededError", "contextwindowexceedederror context_window_exceeded"),
    _row("tgi context", "context_full", "huggingface/text-generation-inference router/src/validation.rs; Together",
         rf"`?inputs`? tokens \+ `?max_new_tokens`? must be <=|`?inputs`? must have less than {_N} tokens"),
    _row("anthropic context", "context_full", "docs.anthropic.com errors: invalid_request_error",
         rf"prompt is too long: {_N} tokens|input length and `?max_tokens`? exceed context limit"),
    _row("gemini context", "context_full", "ai.google.dev: INVALID_ARGUMENT",
         r"input token count .{0,30}exceeds the maximum number of (?:input )?tokens"),
    _row("mistral context", "context_full", "docs.mistral.ai: invalid_request_prompt, 3051",
         rf"too large for model with {_N} maximum context length|prompt contains {_N} tokens",
         "context_length_error"),
    _row("openrouter context", "context_full", "openrouter.ai errors: 400 of an endpoint",
         rf"endpoint's maximum context length|you requested (?:about )?{_N} tokens"),
    _row("sglang context", "context_full", "sgl-project/sglang managers/tokenizer_manager.py",
         rf"longer than the model's context length|requested token count exceeds the model's maximum context length"
         rf"|exceeds the maximum allowed length of {_N} tokens"),
    _row("lm studio context", "context_full", "lmstudio-ai/lmstudio-bug-tracker",
         rf"loaded with context length of only {_N}|tokens to keep from the initial prompt"),
    _row("ollama context", "context_full", "ollama/ollama server/routes.go",
         r"input length exceeds (?:the )?(?:maximum )?context length|exceeds maximum context length"),
    _row("bedrock context", "context_full", "docs.aws.amazon.com Bedrock: ValidationException",
         r"input is too long for requested model"),
    _row("xai context", "context_full", "docs.x.ai errors: 400", rf"maximum prompt length is {_N}"),
    _row("moonshot context", "context_full", "platform.moonshot.cn errors: 400", r"exceeded model token limit"),
    _row("qwen context", "context_full", "help.aliyun.com DashScope error codes", r"range of input length should be"),
    _row("fireworks context", "context_full", "fireworks.ai: 400",
         rf"prompt is too long: {_N}|maximum context length: {_N}"),
    _row("cohere context", "context_full", "docs.cohere.com errors: 400", r"too many tokens: size limit exceeded"),
    _row("request above minute limit", "context_full", "Groq 413, OpenAI 429: waiting does not help",
         r"request too large for |must be reduced in order to run", statuses=(413, 429)),
    _row("limit and prompt", "context_full", "vllm-project/vllm #4667, #42474: prompt and max_tokens together",
         r"max_(?:completion_|new_)?tokens.{0,60}(?:context (?:length|window)|prompt|input).{0,60}(?:exceed|>|<=)"
         r"|(?:prompt|input|messages).{0,60}max_(?:completion_|new_)?tokens.{0,60}(?:exceed|>|<=)"),
    _row("entity too large", "context_full", "RFC 9110: the request is larger than the server accepts", ".?",
         statuses=(413,)),

    # System prompts, where the model's template has no such role.
    _row("gemma system role", "system_role", "google/gemma chat template, through vLLM, TGI, llama.cpp",
         r"system role (?:is )?not supported|system (?:role|messages?|prompts?) (?:is|are) not (?:supported|allowed)"
         r"|(?:does not|doesn't) support (?:the |a )?[\"'`]?system[\"'`]? (?:role|messages?|prompts?|instructions?)"),
    _row("mistral template", "system_role", "mistralai chat templates: roles alternate; vllm-project/vllm PR #2964",
         r"conversation roles must alternate|roles must alternate user/assistant"),
    _row("gemini gemma", "system_role", "QuantumNous/new-api #989, 0xPlaygrounds/rig #788: Gemma at Gemini, 400",
         r"(?:developer|system)[ _]instructions? (?:is|are) not (?:enabled|supported)"),
    _row("openai o1", "system_role", "openai o1-mini, o1-preview: unsupported_value at messages[0].role",
         r"messages\[\d+\]\.role[\"'`]? does not support|unsupported value:? [\"'`]?messages\[\d+\]\.role"),
    _row("anthropic system role", "system_role", "docs.anthropic.com Messages API: roles user and assistant only",
         r"unexpected role [\"'`]?system"
         r"|only [\"'`]?user[\"'`]? and [\"'`]?assistant[\"'`]? roles are (?:supported|allowed)"),

    # Models that the server does not have.
    _row("openai model", "no_model", "platform.openai.com: 404 or 403 model_not_found; vLLM, Groq, xAI, Moonshot",
         r"the model .{0,140}does not exist|model .{0,140}not found|not found the model",
         "model_not_found model_not_available model_decommissioned unknown_model", (400, 403, 404, 422)),
    _row("openrouter model", "no_model", "BerriAI/litellm #9817: 400; 404 without endpoints",
         r"is not a valid model id|no endpoints found|no allowed providers are available"),
    _row("litellm model", "no_model", "BerriAI/litellm proxy/route_llm_request.py",
         r"invalid model name passed in|LLM Provider NOT provided|no healthy deployments? (?:for|available)"),
    _row("deepseek model", "no_model", "api-docs.deepseek.com: 400", r"model not exist"),
    _row("mistral model", "no_model", "docs.mistral.ai: 400 invalid_model, code 1500",
         r"invalid model(?::|\s*$)", "invalid_model"),
    _row("gemini model", "no_model", "ai.google.dev: 404; 400 for unknown names",
         r"models/.{0,140}is not found for api version|unexpected model name format|publisher model .{0,200}not found"),
    _row("together model", "no_model", "docs.together.ai errors: 404 model_not_available",
         r"unable to access (?:non-serverless )?model", "model_not_available"),
    _row("azure deployment", "no_model", "learn.microsoft.com Azure OpenAI: DeploymentNotFound, unknown_model",
         r"deployment for this resource does not exist|unknown model|does not work with the specified model",
         "deploymentnotfound unknown_model unavailable_model operationnotsupported"),
    _row("huggingface router", "no_model", "huggingface.co inference providers: 400 model_not_supported",
         r"is not supported by any provider", "model_not_supported"),
    _row("transformers pinned", "no_model", "huggingface/transformers cli/serve: a server for one model",
         r"server is pinned to"),
    _row("ollama model", "no_model", "ollama/ollama server/routes.go: 404",
         r"not found, try pulling it first|try pulling it|[\"'`] does not support chat"),
    _row("anthropic model", "no_model", "docs.anthropic.com errors: not_found_error",
         codes="not_found_error", statuses=(404,)),
    _row("retired model", "no_model", "OpenAI deprecations, NVIDIA/NemoClaw #11902, Azure ModelDeprecated, Groq",
         r"\bmodel (?:[\"'`]?[\w./:@-]{1,80}[\"'`]? (?:has been|was)|is|has been|was) (?:deprecated|decommissioned"
         r"|discontinued|removed)\b|\bmodel (?:[\"'`]?[\w./:@-]{1,80}[\"'`]? )?is no longer (?:available|served"
         r"|offered)\b|\bmodel is no longer supported\b|\bmodel .{0,140}has reached (?:its|the) end of life",
         "modeldeprecated model_gone",
         (400, 403, 404, 410, 422, 500)),
    _row("gone", "no_model", "RFC 9110; epam/ai-dial-chat #4403, symfony/ai #2327: what was there is gone", ".?",
         statuses=(410,)),
    _row("openai not chat", "no_model", "platform.openai.com: 404 of completion models",
         r"not a chat model|not supported in the v1/chat/completions endpoint"),
    _row("bedrock model", "no_model", "docs.aws.amazon.com Bedrock: ValidationException",
         r"model identifier is invalid|invocation of model id .{0,140}isn.t supported"
         r"|access to the model with the specified model id|model version has reached the end of its life"),
    _row("groq model permission", "no_model", "console.groq.com errors: 400 model_terms_required, 403",
         r"requires terms acceptance|is blocked at the (?:project|organization) level",
         "model_terms_required model_permission_blocked_project model_permission_blocked_org"),

    # Money and limits.
    _row("openai quota", "quota", "platform.openai.com: 429 insufficient_quota",
         codes="insufficient_quota billing_hard_limit_reached billing_not_active"),
    _row("payment required", "quota", "DeepSeek Insufficient Balance, OpenRouter Insufficient credits, Together", ".?",
         statuses=(402,)),
    _row("balance", "quota", "Anthropic 400, Moonshot and DeepSeek behind gateways",
         r"credit balance is too low|insufficient (?:account )?balance|insufficient credits|key limit exceeded",
         "exceeded_current_quota_error insufficient_balance"),
    _row("spending limits", "quota", "Anthropic usage limits, Fireworks 412, Azure's gateway 403, Cohere trial keys",
         r"api usage limits|monthly spending limit|out of call volume quota|calls / month"),
    _row("openrouter free", "quota", "openrouter.ai limits: free-models-per-day", r"free-models-per-day"),
    _row("gemini quota", "limit", "google-gemini/gemini-cli #10717: one message for minute and account",
         r"exceeded your current quota|quota exceeded for (?:metric|quota)|check your plan and billing"),
    _row("minute limits", "busy", "OpenAI, Azure, Groq, Mistral, OpenRouter, Anthropic: 429",
         r"rate limit (?:reached|exceeded)|requests? rate limit|too many requests|rate-limited upstream"
         r"|service tier capacity exceeded|exceeded (?:token|call) rate limit|temporarily rate.limited",
         "rate_limit_exceeded rate_limit_error ratelimitreached rate_limited too_many_requests throttling",
         (400, 403, 413, 422, 429, 500, 503)),
    _row("overloaded", "busy", "Anthropic 529 overloaded_error, Gemini, vLLM, Ollama, Groq flex: also inside a stream",
         r"\b(?:is|are|currently|temporarily) overloaded|^overloaded$|tier capacity exceeded|experiencing high demand"
         r"|server busy, please try again|no (?:slot|instances) available",
         "overloaded_error engine_overloaded capacity_exceeded nocapacity"),
    _row("loading", "loading", "ggml-org/llama.cpp tools/server: 503 while it loads; Hugging Face's inference API",
         r"^loading model|model .{0,140}is currently loading|model is (?:still )?loading", statuses=(503,)),

    # Parameters that the model does not support.
    _row("litellm parameters", "parameter", "docs.litellm.ai exception mapping: UnsupportedParamsError",
         r"UnsupportedParamsError|does not support parameters?:"),

    # General patterns, for servers without a row above.
    _row("any quota", "quota", "QuantumNous/new-api insufficient_user_quota, DashScope Arrearage, Zhipu",
         r"\bno credits\b|out of credits|quota is not enough|monthly (?:quota|limit).{0,20}(?:exceeded|reached)"
         r"|\barrearage\b|额度不足|余额不足|欠费", "insufficient_user_quota arrearage", (400, 403, 429)),
    _row("any filter", "filtered", "OpenAI safety system, Lakera, Zhipu, Cloudflare AI Gateway",
         r"content (?:filters?|policy|moderation)\b|safety (?:system|policy|filters?)\b|flagged (?:by|as|for) "
         r"|violate[sd]? .{0,40}(?:polic(?:y|ies)|guardrail|guidelines)|prompt blocked|sensitive content|敏感",
         "moderation_blocked sensitive_content", (400, 403, 422)),
    _row("legal", "filtered", "RFC 7725: unavailable for legal reasons", ".?", statuses=(451,)),
    _row("any context", "context_full", "vLLM, TGI, Copilot, Zhipu, Baidu",
         r"\b(?:prompt|input length|messages|conversation|tokens?|sequence length)\b[^:;\"]{0,60}"
         r"\b(?:too long|exceeds?|longer than)\b|reduce (?:your|the) (?:prompt|input)", statuses=(400, 413, 422, 500)),
    _row("any key", "bad_key", "Kong, one-api and others: 400 and 403",
         r"\b(?:invalid|malformed|missing|expired) (?:(?:api|access|auth|authentication|bearer)[ -](?:key|token)"
         r"|token\b(?! (?:in|at|id|count|limit)))", statuses=(400, 403)),
    _row("any model", "no_model", "QuantumNous/new-api distributor, LocalAI, LM Studio, LMDeploy, Baidu",
         r"\b(?:no such|unsupported|invalid|could not find|cannot find) (?:the )?model\b(?=[:.]? |\.?\Z)"
         r"|\bmodel (?:[\"'`]?[\w./:@-]{1,80}[\"'`]? )?(?:is |was |has been )?(?:(?:does )?not (?:exist|found|available"
         r"|loaded|deployed|supported(?=\W*\Z))|gone\b|retired|shut down|unavailable\b)"
         r"|is not a valid model|no available channel|无可用渠道|模型不存在", statuses=(400, 404, 410, 422, 500, 503)),
)
# fmt: on
