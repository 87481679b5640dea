"""Errors as model servers send them: statuses and bodies that each row of the table of dialects matches."""

import json
from typing import Any

Example = tuple[int, Any]


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


def vllm(message: str, code: int = 400, kind: str = "BadRequestError") -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def litellm(message: str, kind: str | None, code: int, param: str | None = "None") -> dict[str, Any]:
    return error(message, type=kind, param=param, code=str(code))


def anthropic(message: str, kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def google(code: int, message: str, word: str, *details: Any) -> list[Any]:
    return [{"error": {"code": code, "message": message, "status": word, "details": list(details)}}]


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
QUOTA = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "RequestsPerDayPerProject"}],
}
EXAMPLES: dict[str, list[Example]] = {
    "litellm budget": [
        (400, litellm("Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", "budget_exceeded", 400)),
        (429, litellm("ExceededBudget: User=x over budget. Spend=2, Budget=1", "budget_exceeded", 429)),
        (422, litellm("Key over its limit", "budget_exceeded", 422)),
        (429, litellm("No deployments available - crossed budget: Exceeded budget for deployment model_name: x", None,
                      429)),
        (401, litellm("Authentication Error, ExceededTokenBudget: Current spend for token: 2", None, 401)),
    ],
    "litellm model access": [
        (401, litellm("key not allowed to access model. This key can only access models=['a']. Tried to access b",
                      "key_model_access_denied", 401)),
    ],
    "litellm no database": [(400, litellm("No connected db.", "no_db_connection", 400))],
    "openai key": [
        (401, error("Incorrect API key provided: sk-ab***yz.", type="invalid_request_error", code="invalid_api_key")),
        (400, litellm("litellm.BadRequestError: Invalid API Key", None, 400)),
    ],
    "gemini key": [
        (400, google(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT", BAD_KEY)),
        (400, google(400, "API key expired. Please renew the API key.", "INVALID_ARGUMENT")),
    ],
    "litellm key": [
        (400, litellm("litellm.AuthenticationError: AnthropicException - no", None, 400)),
        (401, litellm("Authentication Error, Invalid proxy server token passed. key=x", "token_not_found_in_db", 401)),
        (500, litellm("no", "auth_error", 500)),
    ],
    "openrouter key": [(401, error("No auth credentials found", code=401)), (401, error("User not found.", code=401))],
    "deepseek key": [(401, error("Authentication Fails, Your api key: ****abcd is invalid", type="odd_error"))],
    "anthropic key": [(401, anthropic("invalid x-api-key", "authentication_error"))],
    "azure key": [
        (401, error("Access denied due to invalid subscription key or wrong API endpoint.", code="401")),
    ],
    "minimax key": [(401, {"base_resp": {"status_code": 1004, "status_msg": "login fail: Please carry the API key"}})],
    "azure api version": [
        (400, error("Model x is enabled only for api versions 2026-03-01-preview and later", code="BadRequest")),
        (404, error("Resource not found. API version not supported", code="404")),
        (400, error("The api-version 'x' is not valid.", code="InvalidApiVersionParameter")),
    ],
    "region or organization": [
        (400, google(400, "User location is not supported for the API use.", "FAILED_PRECONDITION")),
        (400, google(400, "Missing or invalid Authorization header.", "INVALID_ARGUMENT")),
        (400, error("Organization has been restricted. Please reach out.", code="organization_restricted")),
    ],
    "no chat template": [
        (400, vllm("As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat"
                   " template if the tokenizer does not define one.")),
    ],
    "azure filter": [
        (400, error("The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
                    param="prompt", code="content_filter",
                    innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {}}})),
        (400, error("Blocked.", innererror={"code": "ResponsibleAIPolicyViolation"})),
    ],
    "openai policy": [
        (400, error("Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
                    type="invalid_request_error", code="invalid_prompt")),
    ],
    "litellm filter": [
        (400, litellm("litellm.BadRequestError: litellm.ContentPolicyViolationError: AzureException - no", None, 400)),
        (400, litellm("Violated guardrail policy", None, 400)),
        (400, litellm("{'error': 'Violated guardrail policy', 'bedrock_guardrail_response': 'No.'}", None, 400)),
        (400, litellm("Blocked entity detected: PERSON by Guardrail: presidio. It is not allowed.", None, 400)),
    ],
    "openrouter moderation": [
        (403, error("openai/gpt-x requires moderation on OpenAI. Your input was flagged for \"violence\".", code=403,
                    metadata={"reasons": ["violence"], "flagged_input": "Why is ...", "provider_name": "OpenAI"})),
    ],
    "deepseek filter": [(400, error("Content Exists Risk", type="odd", code="invalid_request_error"))],
    "qwen filter": [
        (400, error("Input data may contain inappropriate content.", type="data_inspection_failed", code=None)),
    ],
    "gemini filter": [(400, google(400, "The prompt was blocked because of PROHIBITED_CONTENT", "INVALID_ARGUMENT"))],
    "anthropic filter": [
        (400, {"type": "error", "error": {"type": "invalid_request_error",
                                          "message": "Output blocked by content filtering policy"}}),
    ],
    "moonshot filter": [
        (400, error("The request was rejected because it was considered high risk", type="odd")),
    ],
    "xai filter": [(403, {"code": "No permission", "error": "Content violates usage guidelines."})],
    "openai context": [
        (400, error("This model's maximum context length is 8192 tokens. However, your messages resulted in 9000.",
                    type="invalid_request_error", param="messages", code="context_length_exceeded")),
        (400, error("Please reduce the length of the messages or completion.", type="invalid_request_error")),
        (400, vllm("This model's maximum context length is 200 tokens. However, you requested 260 tokens (260 in the"
                   " messages, 0 in the completion). Please reduce the length of the messages.")),
        (500, litellm("litellm.APIError: X - This model's maximum context length is 65536 tokens.", None, 500)),
    ],
    "vllm context": [
        (400, vllm("The decoder prompt (length 5000) is longer than the maximum model length of 4096.")),
        (400, vllm("You passed 4090 input tokens and requested 100 output tokens. However, the model's context length"
                   " is only 4096 tokens.")),
        (400, vllm("max_tokens=5000 cannot be greater than max_model_len=4096. Please request fewer output tokens.")),
    ],
    "llama.cpp context": [
        (400, error("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
                    code=400, type="exceed_context_size_error", n_prompt_tokens=5000)),
        (500, error("Context size has been exceeded.", code=500, type="server_error")),
        (400, error("Requested tokens (2285) exceed context window of 2048")),
    ],
    "litellm context": [
        (400, litellm("litellm.ContextWindowExceededError: too many", "ContextWindowExceededError", 400)),
        (400, litellm("too many", "ContextWindowExceededError", 400)),
    ],
    "tgi context": [
        (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000"
                        " `inputs` tokens and 200 `max_new_tokens`", "error_type": "validation"}),
        (422, {"error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 1100",
               "error_type": "validation"}),
    ],
    "anthropic context": [
        (400, {"type": "error", "error": {"type": "invalid_request_error",
                                          "message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
        (400, error("input length and `max_tokens` exceed context limit: 199000 + 8000 > 200000")),
    ],
    "gemini context": [
        (400, google(400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                     "INVALID_ARGUMENT")),
    ],
    "mistral context": [
        (400, {"object": "error", "message": "Prompt contains 35000 tokens and 0 draft tokens, too large for model with"
               " 32768 maximum context length", "type": "invalid_request_error", "param": None, "code": "3051"}),
    ],
    "openrouter context": [
        (400, error("This endpoint's maximum context length is 4095. However, you requested about 5000.", code=400)),
        (400, error("Provider returned error", code=400, metadata={"provider_name": "X", "raw": json.dumps(
            {"error": {"message": "However, you requested 4201 tokens", "type": "invalid_request_error"}})})),
    ],
    "sglang context": [
        (400, vllm("The input (5000 tokens) is longer than the model's context length (4096 tokens).")),
        (400, vllm("Requested token count exceeds the model's maximum context length of 4096 tokens.")),
    ],
    "lm studio context": [
        (400, {"error": "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded"
                        " with context length of only 4096 tokens, which is not enough."}),
    ],
    "ollama context": [(400, error("input length exceeds maximum context length", type="invalid_request_error"))],
    "bedrock context": [(400, {"message": "Input is too long for requested model."})],
    "xai context": [
        (400, {"code": "invalid-argument",
               "error": "This model's maximum prompt length is 131072 but the request contains 537812 tokens."}),
    ],
    "moonshot context": [(400, error("Invalid request: Your request exceeded model token limit: 8192", type="odd"))],
    "qwen context": [(400, error("Range of input length should be [1, 30720]", code="invalid_parameter_error"))],
    "fireworks context": [
        (400, error("The prompt is too long: 140000, model maximum context length: 131071", object="error")),
    ],
    "cohere context": [(400, {"message": "too many tokens: size limit exceeded by 11326 tokens. Try fewer inputs."})],
    "request above minute limit": [
        (429, error("Request too large for gpt-x in organization o on tokens per min (TPM): Limit 30000, Requested"
                    " 40000. The input or output tokens must be reduced in order to run successfully.",
                    type="tokens", code="rate_limit_exceeded")),
        (413, error("Request too large for model `llama` in organization `o` on tokens per minute (TPM): Limit 6000,"
                    " Requested 9000", type="tokens", code="rate_limit_exceeded")),
    ],
    "limit and prompt": [
        (400, vllm("max_tokens (3000) plus the input (2000) exceeds 4096")),
        (400, vllm("'max_tokens' is too large: 3000. The context window holds 4096 (3000 > 4096 - 2000).")),
    ],
    "entity too large": [(413, b"<html>413 Request Entity Too Large</html>")],
    "gemma system role": [
        (400, vllm("System role not supported")),
        (500, error("System role not supported at row 1, column 1", code=500, type="server_error")),
        (400, error("The model does not support system messages.")),
    ],
    "mistral template": [
        (400, vllm("Conversation roles must alternate user/assistant/user/assistant/...")),
        (422, {"error": "Template error: Conversation roles must alternate", "error_type": "template_error"}),
    ],
    "gemini gemma": [
        (400, google(400, "Developer instruction is not enabled for models/gemma", "INVALID_ARGUMENT")),
        (400, google(400, "The input system_instruction is not supported.", "INVALID_ARGUMENT")),
    ],
    "openai o1": [
        (400, error("Unsupported value: 'messages[0].role' does not support 'system' with this model.",
                    type="invalid_request_error", param="messages[0].role", code="unsupported_value")),
    ],
    "anthropic system role": [
        (400, error('messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter')),
    ],
    "openai model": [
        (404, error("The model `no-model` does not exist or you do not have access to it.", code="model_not_found")),
        (403, error("Project `p` does not have access to model `no-model`", code="model_not_found")),
        (404, vllm("The model `x` does not exist.", 404, "NotFoundError")),
        (400, error("The model `x` has been decommissioned", code="model_decommissioned")),
        (400, error("Not found the model x or Permission denied", type="resource_not_found_error")),
    ],
    "openrouter model": [
        (400, error("some/retired-model is not a valid model ID", code=400)),
        (404, error("No endpoints found for some/model.", code=404)),
    ],
    "litellm model": [
        (400, error("/chat/completions: Invalid model name passed in model=retired. Call /v1/models to see what is"
                    " available.", type="invalid_request_error", param="model", code="400")),
        (400, litellm("litellm.BadRequestError: LLM Provider NOT provided. You passed model=x", None, 400)),
        (429, litellm("No healthy deployment available, passed model=x", None, 429)),
    ],
    "deepseek model": [(400, error("Model Not Exist", type="invalid_request_error", code="invalid_request_error"))],
    "mistral model": [
        (400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"}),
    ],
    "gemini model": [
        (404, google(404, "models/x is not found for API version v1main, or is not supported", "NOT_FOUND")),
        (400, google(400, "* GenerateContentRequest.model: unexpected model name format", "INVALID_ARGUMENT")),
    ],
    "together model": [
        (400, error("Unable to access model x. Please visit the page of models", type="invalid_request_error")),
    ],
    "azure deployment": [
        (404, error("The API deployment for this resource does not exist.", code="DeploymentNotFound")),
        (400, error("Unknown model: x", code="unknown_model")),
        (400, error("The chatCompletion operation does not work with the specified model, x.",
                    code="OperationNotSupported")),
    ],
    "huggingface router": [
        (400, error("The requested model 'x' is not supported by any provider you have enabled.",
                    code="model_not_supported")),
    ],
    "transformers pinned": [(400, {"detail": "Server is pinned to 'a/b', but the request asked for another model"})],
    "ollama model": [
        (400, error('model "x" not found, try pulling it first', type="api_error")),
        (400, error('"nomic-embed-text:latest" does not support chat', type="api_error")),
    ],
    "anthropic model": [(404, {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-x"}})],
    "openai not chat": [
        (404, error("This is not a chat model and thus not supported in the v1/chat/completions endpoint.")),
    ],
    "bedrock model": [
        (400, {"message": "The provided model identifier is invalid."}),
        (400, {"message": "Invocation of model ID a.b-x with on-demand throughput isn\u2019t supported. Retry."}),
        (403, {"message": "You don't have access to the model with the specified model ID."}),
    ],
    "groq model permission": [
        (400, error("The model `x` requires terms acceptance.", code="model_terms_required")),
        (403, error("The model `x` is blocked at the project level.", code="model_permission_blocked_project")),
    ],
    "openai quota": [
        (429, error("You exceeded your current quota, please check your plan and billing details.",
                    type="insufficient_quota", code="insufficient_quota")),
    ],
    "payment required": [
        (402, error("Insufficient Balance", type="unknown_error", code="invalid_request_error")),
        (402, error("Your account never purchased credits", code=402)),
    ],
    "balance": [
        (400, {"type": "error", "error": {"type": "invalid_request_error",
                                          "message": "Your credit balance is too low to access the API."}}),
        (403, error("Key limit exceeded (total limit). Manage it using the settings.", code=403)),
    ],
    "spending limits": [
        (400, anthropic("You have reached your specified API usage limits. You will regain access on 2026-12-01.",
                        "invalid_request_error")),
        (412, error("Account x is suspended, possibly due to the monthly spending limit", code="FAILED")),
        (403, {"statusCode": 403, "message": "Out of call volume quota. Quota will be replenished in 2.12:03:01."}),
        (429, {"message": "You are using a Trial key, which is limited to 1000 API calls / month."}),
    ],
    "openrouter free": [(429, error("Rate limit exceeded: free-models-per-day", code=429))],
    "gemini quota": [
        (429, google(429, "You exceeded your current quota. Please retry in 45s.", "RESOURCE_EXHAUSTED", RETRY)),
        (429, google(429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED", QUOTA, RETRY)),
        (429, error("You exceeded your current quota, please check your plan and billing details.")),
    ],
    "minute limits": [
        (429, error("Rate limit reached for gpt-x in organization o on requests per min (RPM): Limit 3, Used 3. Please"
                    " try again in 20s.", type="requests", code="rate_limit_exceeded")),
        (429, error("Requests have exceeded token rate limit. Please retry after 6 seconds.", code="429")),
        (429, {"object": "error", "message": "Service tier capacity exceeded for this model.", "code": "3505"}),
        (400, litellm("litellm.RateLimitError: Too many requests", None, 400)),
    ],
    "overloaded": [
        (529, anthropic("Overloaded", "overloaded_error")),
        (503, google(503, "The model is overloaded. Please try again later.", "UNAVAILABLE")),
        (498, error("Flex tier capacity exceeded", type="capacity_exceeded")),
        (429, error("The system is currently experiencing high demand and cannot process it.", code="NoCapacity")),
    ],
    "loading": [
        (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
        (503, {"error": "Model org/x is currently loading", "estimated_time": 20.0}),
    ],
    "litellm parameters": [
        (400, litellm("litellm.UnsupportedParamsError: openai does not support parameters: ['temperature'], for"
                      " model=o3", None, 400)),
    ],
    "any quota": [
        (403, error("user quota is not enough", code="insufficient_user_quota")),
        (429, error("余额不足或无可用资源包,请充值。", code="1113")),
        (400, error("Arrearage: Access denied, please make sure your account is in good standing.")),
        (429, error("Monthly quota exceeded")),
    ],
    "any filter": [
        (400, error("Your request was rejected by the safety system")),
        (400, error("This request has been blocked by our content filters.")),
        (400, error("The prompt violates our rules and policies")),
        (403, {"errors": [{"code": 2016, "message": "Prompt blocked due to security configurations"}]}),
        (400, error("系统检测到输入内容可能包含不安全或敏感内容", code="1301")),
    ],
    "legal": [(451, error("Unavailable for legal reasons"))],
    "any context": [
        (400, error("Input length 5000 exceeds maximum allowed token size 4096")),
        (400, error("Prompt is too long")),
        (400, error("prompt token count of 70000 exceeds the limit of 64000", code="model_max")),
        (500, {"error": "Token indices sequence length is longer than the specified maximum sequence length"}),
        (400, error("Total message token length exceed model limit", code="1261")),
    ],
    "any key": [(400, error("Malformed API key")), (400, error("invalid token"))],
    "retired model": [
        (404, error("The model `x` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations")),
        (400, error("The model x has been decommissioned and is no longer supported.")),
        (410, {"title": "Gone", "status": 410, "detail": "The model 'a/x' has reached its end of life on 2026-08-07."}),
        (410, error("The model of the deployment is deprecated.", code="ModelDeprecated")),
        (400, error("Model x is no longer available.")),
    ],
    "gone": [(410, {"error": "The requested x is deprecated and no longer supported by provider hf-inference."})],
    "any model": [
        (400, error("Model gpt-x is not supported")),
        (400, error("model `x` is not available")),
        (400, error("No such model: x")),
        (422, {"detail": "model x is not loaded"}),
        (400, error("Requested model does not exist")),
        (400, error("'x' is not a valid model")),
        (404, error("This model is gone")),
        (503, error("There is no available channel for model x under group default", type="new_api_error")),
        (400, {"error_code": 336003, "error_msg": "model not exist"}),
    ],
}  # fmt: skip
