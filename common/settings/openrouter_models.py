# ruff: noqa: E501 - one line is one model
"""OpenRouter's models that answer in text, as of 2026-05-20: what they cost, what they take. `catalog.py` reads it.

Facts: OpenRouter's list (https://openrouter.ai/api/v1/models) as https://models.dev has it (release 1.0.398 of its
package), the prices as genai-prices 0.2.3 (2026-11) has them where these are dearer. USD per million tokens; where a
price rises with the length of the prompt, the highest. Left out are models that charge for more than tokens, that
answer in pictures or sounds, and names that move from one model to another. That Claude goes on with an answer up to
4.5 and not from 4.6: https://platform.claude.com/docs/en/about-claude/models/migration-guide (2026-11).
"""

from typing import Final

DATE: Final = "2026-05-20"

MODELS: Final = """\
ai21/jamba-large-1.7 context=256000 output=4096 price=2/8 takes=text lacks=structured_outputs
aion-labs/aion-1.0 context=131072 output=32768 price=4/8 takes=text lacks=structured_outputs,tools reasoning
aion-labs/aion-1.0-mini context=131072 output=32768 price=0.7/1.4 takes=text lacks=structured_outputs,tools reasoning
aion-labs/aion-2.0 context=131072 output=32768 price=0.8/1.6 cache_read=0.2 takes=text lacks=structured_outputs,tools reasoning
aion-labs/aion-rp-llama-3.1-8b context=32768 price=0.8/1.6 takes=text lacks=structured_outputs,tools
alfredpros/codellama-7b-instruct-solidity context=4096 price=0.8/1.2 takes=text lacks=structured_outputs,tools
alibaba/tongyi-deepresearch-30b-a3b context=131072 price=0.09/0.45 takes=text reasoning
allenai/olmo-3-32b-think context=65536 price=0.15/0.5 takes=text lacks=tools reasoning
amazon/nova-2-lite-v1 context=1000000 output=65535 price=0.3/2.5 takes=text,image,file lacks=structured_outputs reasoning
amazon/nova-lite-v1 context=300000 output=5120 price=0.06/0.24 takes=text,image lacks=structured_outputs
amazon/nova-micro-v1 context=128000 output=5120 price=0.035/0.14 takes=text lacks=structured_outputs
amazon/nova-premier-v1 context=1000000 output=32000 price=2.5/12.5 cache_read=0.625 takes=text,image lacks=structured_outputs
amazon/nova-pro-v1 context=300000 output=5120 price=0.8/3.2 takes=text,image lacks=structured_outputs
anthracite-org/magnum-v4-72b context=16384 output=2048 price=3/5 takes=text lacks=structured_outputs,tools
anthropic/claude-3-haiku context=200000 output=4096 price=0.25/1.25 cache_read=0.03 cache_write=0.3 takes=text,image lacks=structured_outputs prefill
anthropic/claude-3.5-haiku context=200000 output=8192 price=0.8/4 cache_read=0.08 cache_write=1 takes=text,image lacks=structured_outputs prefill
anthropic/claude-haiku-4.5 context=200000 output=64000 price=1/5 cache_read=0.1 cache_write=1.25 takes=text,image,file reasoning prefill
anthropic/claude-opus-4 context=200000 output=32000 price=15/75 cache_read=1.5 cache_write=18.75 takes=text,image,file lacks=structured_outputs reasoning prefill
anthropic/claude-opus-4.1 context=200000 output=32000 price=15/75 cache_read=1.5 cache_write=18.75 takes=text,image,file reasoning prefill
anthropic/claude-opus-4.5 context=200000 output=64000 price=5/25 cache_read=0.5 cache_write=6.25 takes=text,image,file reasoning prefill
anthropic/claude-opus-4.6 context=1000000 output=128000 price=10/37.5 cache_read=1 cache_write=12.5 takes=text,image,file reasoning
anthropic/claude-opus-4.6-fast context=1000000 output=128000 price=30/150 cache_read=3 cache_write=37.5 takes=text,image,file reasoning
anthropic/claude-opus-4.7 context=1000000 output=128000 price=10/37.5 cache_read=1 cache_write=12.5 takes=text,image,file lacks=temperature,top_p reasoning
anthropic/claude-opus-4.7-fast context=1000000 output=128000 price=30/150 cache_read=3 cache_write=37.5 takes=text,image,file lacks=temperature,top_p reasoning
anthropic/claude-sonnet-4 context=1000000 output=64000 price=6/22.5 cache_read=0.6 cache_write=7.5 takes=text,image,file lacks=structured_outputs reasoning prefill
anthropic/claude-sonnet-4.5 context=1000000 output=64000 price=6/22.5 cache_read=0.6 cache_write=7.5 takes=text,image,file reasoning prefill
anthropic/claude-sonnet-4.6 context=1000000 output=128000 price=6/22.5 cache_read=0.6 cache_write=7.5 takes=text,image,file reasoning
arcee-ai/coder-large context=32768 price=0.5/0.8 takes=text lacks=structured_outputs,tools
arcee-ai/maestro-reasoning context=131072 output=32000 price=0.9/3.3 takes=text lacks=structured_outputs,tools
arcee-ai/spotlight context=131072 output=65537 price=0.18/0.18 takes=text,image lacks=structured_outputs,tools
arcee-ai/trinity-large-preview context=131000 price=0.15/0.45 takes=text
arcee-ai/trinity-large-thinking context=262144 price=0.25/0.85 cache_read=0.06 takes=text reasoning
arcee-ai/trinity-large-thinking:free context=262144 output=80000 price=0/0 takes=text lacks=structured_outputs reasoning
arcee-ai/trinity-mini context=131072 price=0.045/0.15 takes=text reasoning
arcee-ai/virtuoso-large context=131072 output=64000 price=0.75/1.2 takes=text lacks=structured_outputs
baidu/cobuddy:free context=131072 output=65536 price=0/0 takes=text lacks=structured_outputs,temperature,top_p reasoning
baidu/ernie-4.5-21b-a3b context=120000 output=8000 price=0.07/0.28 takes=text lacks=structured_outputs
baidu/ernie-4.5-21b-a3b-thinking context=131072 output=65536 price=0.07/0.28 takes=text lacks=structured_outputs,tools reasoning
baidu/ernie-4.5-300b-a47b context=123000 output=12000 price=0.28/1.1 takes=text lacks=structured_outputs,tools
baidu/ernie-4.5-vl-28b-a3b context=30000 output=8000 price=0.14/0.56 takes=text,image lacks=structured_outputs reasoning
baidu/ernie-4.5-vl-424b-a47b context=123000 output=16000 price=0.42/1.25 takes=text,image lacks=structured_outputs,tools reasoning
baidu/qianfan-ocr-fast context=65536 output=28672 price=0.68/2.81 takes=text,image lacks=structured_outputs,tools reasoning
bytedance-seed/seed-1.6 context=262144 output=32768 price=0.5/4 takes=text,image reasoning
bytedance-seed/seed-1.6-flash context=262144 output=32768 price=0.1/0.8 takes=text,image reasoning
bytedance-seed/seed-2.0-lite context=262144 output=131072 price=0.5/4 takes=text,image reasoning
bytedance-seed/seed-2.0-mini context=262144 output=131072 price=0.2/0.8 takes=text,image reasoning
bytedance/ui-tars-1.5-7b context=128000 output=2048 price=0.1/0.2 takes=text,image lacks=structured_outputs,tools
cognitivecomputations/dolphin-mistral-24b-venice-edition:free context=32768 price=0/0 takes=text lacks=tools
cohere/command-a context=256000 output=8192 price=2.5/10 takes=text lacks=tools
cohere/command-r-08-2024 context=128000 output=4000 price=0.15/0.6 takes=text
cohere/command-r-plus-08-2024 context=128000 output=4000 price=2.5/10 takes=text
cohere/command-r7b-12-2024 context=128000 output=4000 price=0.0375/0.15 takes=text lacks=tools
deepcogito/cogito-v2.1-671b context=128000 price=1.25/1.25 takes=text lacks=tools reasoning
deepseek/deepseek-chat context=163840 output=16384 price=0.32/1.0287 takes=text
deepseek/deepseek-chat-v3-0324 context=163840 output=16384 price=0.25/1 cache_read=0.135 takes=text
deepseek/deepseek-chat-v3.1 context=163840 output=32768 price=0.27/1 cache_read=0.13 takes=text reasoning
deepseek/deepseek-r1 context=64000 output=16000 price=0.7/2.5 takes=text reasoning
deepseek/deepseek-r1-0528 context=163840 output=32768 price=0.5/2.15 cache_read=0.35 takes=text reasoning
deepseek/deepseek-r1-distill-llama-70b context=131072 output=16384 price=0.7/0.8 takes=text lacks=structured_outputs,tools reasoning
deepseek/deepseek-r1-distill-qwen-32b context=32768 price=0.29/0.29 takes=text lacks=tools reasoning
deepseek/deepseek-v3.1-terminus context=163840 output=32768 price=0.27/1 cache_read=0.13 takes=text reasoning
deepseek/deepseek-v3.2 context=131072 output=65536 price=0.26/0.38 cache_read=0.13 takes=text reasoning
deepseek/deepseek-v3.2-exp context=163840 output=65536 price=0.27/0.41 takes=text reasoning
deepseek/deepseek-v3.2-speciale context=163840 price=0.287/0.431 cache_read=0.058 takes=text lacks=tools reasoning
deepseek/deepseek-v4-flash context=1048575 output=131072 price=0.112/0.224 cache_read=0.022 takes=text reasoning
deepseek/deepseek-v4-flash:free context=1048576 output=384000 price=0/0 takes=text lacks=structured_outputs,temperature,top_p reasoning
deepseek/deepseek-v4-pro context=1048576 output=384000 price=1.416/2.832 cache_read=0.118 takes=text reasoning
essentialai/rnj-1-instruct context=32768 price=0.15/0.15 takes=text
google/gemini-2.0-flash-001 context=1000000 output=8192 price=0.1/0.4 cache_read=0.025 cache_write=0.083333 takes=text,image,audio,file
google/gemini-2.0-flash-lite-001 context=1048576 output=8192 price=0.075/0.3 takes=text,image,audio,file
google/gemini-2.5-flash context=1048576 output=65535 price=0.3/2.5 cache_read=0.03 cache_write=0.083334 takes=text,image,audio,file reasoning
google/gemini-2.5-flash-lite context=1048576 output=65535 price=0.1/0.4 cache_read=0.01 cache_write=0.083334 takes=text,image,audio,file reasoning
google/gemini-2.5-flash-lite-preview-09-2025 context=1048576 output=65535 price=0.1/0.4 cache_read=0.01 cache_write=0.083333 takes=text,image,audio,file reasoning
google/gemini-2.5-pro context=1048576 output=65536 price=2.5/15 cache_read=0.25 cache_write=0.375 takes=text,image,audio,file reasoning
google/gemini-2.5-pro-preview context=1048576 output=65536 price=1.25/10 cache_read=0.125 cache_write=0.375 takes=text,image,audio,file reasoning
google/gemini-2.5-pro-preview-05-06 context=1048576 output=65535 price=1.25/10 cache_read=0.125 cache_write=0.375 takes=text,image,audio,file reasoning
google/gemini-3-flash-preview context=1048576 output=65536 price=0.5/3 cache_read=0.05 cache_write=0.083334 takes=text,image,audio,file reasoning
google/gemini-3.1-flash-lite context=1048576 output=65536 price=0.25/1.5 cache_read=0.025 cache_write=0.083334 takes=text,image,audio,file reasoning
google/gemini-3.1-flash-lite-preview context=1048576 output=65536 price=0.25/1.5 cache_read=0.025 cache_write=0.083333 takes=text,image,audio,file reasoning
google/gemini-3.1-pro-preview context=1048576 output=65536 price=4/18 cache_read=0.4 cache_write=0.375 takes=text,image,audio,file reasoning
google/gemini-3.1-pro-preview-customtools context=1048576 output=65536 price=4/18 cache_read=0.4 cache_write=0.375 takes=text,image,audio,file reasoning
google/gemini-3.5-flash context=1048576 output=65536 price=1.5/9 cache_read=0.15 cache_write=0.083334 takes=text,image,audio,file reasoning
google/gemma-2-27b-it context=8192 output=2048 price=0.65/0.65 takes=text lacks=tools
google/gemma-3-12b-it context=131072 output=16384 price=0.05/0.15 takes=text,image
google/gemma-3-27b-it context=131072 output=16384 price=0.08/0.35 cache_read=0.04 takes=text,image
google/gemma-3-4b-it context=131072 output=16384 price=0.04/0.08 cache_read=0.02 takes=text,image lacks=tools
google/gemma-3n-e4b-it context=32768 price=0.06/0.12 takes=text lacks=structured_outputs,tools
google/gemma-4-26b-a4b-it context=262144 price=0.15/0.6 cache_read=0.0425 takes=text,image reasoning
google/gemma-4-26b-a4b-it:free context=262144 output=32768 price=0/0 takes=text,image lacks=structured_outputs reasoning
google/gemma-4-31b-it context=262144 output=16384 price=0.15/0.4 cache_read=0.06 takes=text,image reasoning
google/gemma-4-31b-it:free context=262144 output=32768 price=0/0 takes=text,image lacks=structured_outputs reasoning
gryphe/mythomax-l2-13b context=4096 price=0.08/0.11 takes=text lacks=tools
ibm-granite/granite-4.0-h-micro context=131000 price=0.017/0.112 takes=text lacks=structured_outputs,tools
ibm-granite/granite-4.1-8b context=131072 price=0.05/0.1 takes=text
inception/mercury-2 context=128000 output=50000 price=0.25/0.75 cache_read=0.025 takes=text reasoning
inclusionai/ling-2.6-1t context=262144 output=32768 price=0.075/0.625 cache_read=0.015 takes=text
inclusionai/ling-2.6-flash context=262144 output=32768 price=0.01/0.03 cache_read=0.002 takes=text
inclusionai/ring-2.6-1t context=262144 output=65536 price=0.075/0.625 cache_read=0.015 takes=text lacks=structured_outputs reasoning
inflection/inflection-3-pi context=8000 output=1024 price=2.5/10 takes=text lacks=structured_outputs,tools
inflection/inflection-3-productivity context=8000 output=1024 price=2.5/10 takes=text lacks=structured_outputs,tools
kwaipilot/kat-coder-pro-v2 context=256000 output=80000 price=0.3/1.2 cache_read=0.06 takes=text
liquid/lfm-2-24b-a2b context=32768 price=0.03/0.12 takes=text lacks=structured_outputs,tools
liquid/lfm-2.5-1.2b-instruct:free context=32768 price=0/0 takes=text lacks=structured_outputs,tools
liquid/lfm-2.5-1.2b-thinking:free context=32768 price=0/0 takes=text lacks=structured_outputs,tools reasoning
mancer/weaver context=8000 output=2000 price=0.75/1 takes=text lacks=structured_outputs,tools
meta-llama/llama-3-70b-instruct context=8192 output=8000 price=0.51/0.74 takes=text lacks=tools
meta-llama/llama-3-8b-instruct context=8192 price=0.04/0.06 takes=text lacks=structured_outputs,tools
meta-llama/llama-3.1-70b-instruct context=131072 output=16384 price=0.72/0.72 takes=text
meta-llama/llama-3.1-8b-instruct context=16384 price=0.05/0.08 cache_read=0.025 takes=text
meta-llama/llama-3.2-11b-vision-instruct context=131072 output=16384 price=0.245/0.245 takes=text,image lacks=structured_outputs,tools
meta-llama/llama-3.2-1b-instruct context=60000 price=0.027/0.201 takes=text lacks=structured_outputs,tools
meta-llama/llama-3.2-3b-instruct context=80000 price=0.0509/0.335 takes=text lacks=structured_outputs,tools
meta-llama/llama-3.2-3b-instruct:free context=131072 price=0/0 takes=text lacks=structured_outputs,tools
meta-llama/llama-3.3-70b-instruct context=131072 output=16384 price=0.59/0.79 cache_read=0.295 takes=text
meta-llama/llama-3.3-70b-instruct:free context=65536 price=0/0 takes=text lacks=structured_outputs
meta-llama/llama-4-maverick context=1048576 output=16384 price=0.35/1 cache_read=0.17 takes=text,image lacks=tools
meta-llama/llama-4-scout context=327680 output=16384 price=0.1/0.3 takes=text,image
meta-llama/llama-guard-3-8b context=131072 price=0.484/0.06 takes=text lacks=structured_outputs,tools
meta-llama/llama-guard-4-12b context=163840 output=16384 price=0.18/0.18 takes=text,image lacks=structured_outputs,tools
microsoft/phi-4 context=16384 price=0.07/0.14 takes=text lacks=tools
microsoft/phi-4-mini-instruct context=128000 price=0.08/0.35 takes=text lacks=tools
microsoft/wizardlm-2-8x22b context=65535 output=8000 price=0.62/0.62 takes=text lacks=structured_outputs,tools
minimax/minimax-01 context=1000192 price=0.2/1.1 takes=text,image lacks=structured_outputs,tools
minimax/minimax-m1 context=1000000 output=40000 price=0.55/2.2 takes=text lacks=structured_outputs reasoning
minimax/minimax-m2 context=196608 price=0.255/1.02 cache_read=0.03 takes=text reasoning
minimax/minimax-m2-her context=65536 output=2048 price=0.3/1.2 cache_read=0.03 takes=text lacks=structured_outputs,tools
minimax/minimax-m2.1 context=196608 price=0.3/1.2 cache_read=0.03 takes=text reasoning
minimax/minimax-m2.5 context=196608 price=0.295/1.2 cache_read=0.06 takes=text reasoning
minimax/minimax-m2.5:free context=196608 output=8192 price=0/0 takes=text lacks=structured_outputs reasoning
minimax/minimax-m2.7 context=196608 output=131072 price=0.279/1.2 cache_read=0.054 takes=text reasoning
mistralai/codestral-2508 context=256000 price=0.3/0.9 cache_read=0.03 takes=text,file
mistralai/devstral-2512 context=262144 price=0.4/2 cache_read=0.04 takes=text,file
mistralai/devstral-medium context=131072 price=0.4/2 cache_read=0.04 takes=text,file
mistralai/devstral-small context=131072 price=0.1/0.3 cache_read=0.01 takes=text,file
mistralai/ministral-14b-2512 context=262144 price=0.2/0.2 cache_read=0.02 takes=text,image
mistralai/ministral-3b-2512 context=131072 price=0.1/0.1 cache_read=0.01 takes=text,image
mistralai/ministral-8b-2512 context=262144 price=0.15/0.15 cache_read=0.015 takes=text,image
mistralai/mistral-7b-instruct-v0.1 context=2824 price=0.2/0.2 takes=text lacks=structured_outputs,tools
mistralai/mistral-large context=128000 price=2/6 cache_read=0.2 takes=text,file
mistralai/mistral-large-2407 context=131072 price=2/6 cache_read=0.2 takes=text,file
mistralai/mistral-large-2411 context=131072 price=2/6 cache_read=0.2 takes=text,file
mistralai/mistral-large-2512 context=262144 price=0.5/1.5 cache_read=0.05 takes=text,image,file
mistralai/mistral-medium-3 context=131072 price=0.4/2 cache_read=0.04 takes=text,image,file
mistralai/mistral-medium-3-5 context=262144 price=1.5/7.5 takes=text,image,file reasoning
mistralai/mistral-medium-3.1 context=131072 price=0.4/2 cache_read=0.04 takes=text,image,file
mistralai/mistral-nemo context=131072 price=0.15/0.15 cache_read=0.015 takes=text
mistralai/mistral-saba context=32768 price=0.2/0.6 cache_read=0.02 takes=text,file
mistralai/mistral-small-24b-instruct-2501 context=32768 output=16384 price=0.05/0.08 takes=text lacks=tools
mistralai/mistral-small-2603 context=262144 price=0.15/0.6 cache_read=0.015 takes=text,image reasoning
mistralai/mistral-small-3.1-24b-instruct context=128000 price=0.351/0.555 takes=text,image lacks=structured_outputs,tools
mistralai/mistral-small-3.2-24b-instruct context=128000 output=16384 price=0.1/0.3 cache_read=0.01 takes=text,image
mistralai/mixtral-8x22b-instruct context=65536 price=2/6 cache_read=0.2 takes=text,file
mistralai/pixtral-large-2411 context=131072 price=2/6 cache_read=0.2 takes=text,image,file
mistralai/voxtral-small-24b-2507 context=32000 price=0.1/0.3 cache_read=0.01 takes=text,audio,file
moonshotai/kimi-k2 context=131072 output=32768 price=0.57/2.3 takes=text lacks=structured_outputs
moonshotai/kimi-k2-0905 context=262144 price=0.6/2.5 takes=text
moonshotai/kimi-k2-thinking context=262144 price=0.6/2.5 cache_read=0.15 takes=text reasoning
moonshotai/kimi-k2.5 context=262144 price=0.532/3.325 cache_read=0.209 takes=text,image reasoning
moonshotai/kimi-k2.6 context=262142 price=0.95/4 cache_read=0.25 takes=text,image reasoning
morph/morph-v3-fast context=81920 output=38000 price=0.8/1.2 takes=text lacks=structured_outputs,tools
morph/morph-v3-large context=262144 output=131072 price=0.9/1.9 takes=text lacks=structured_outputs,tools
nex-agi/deepseek-v3.1-nex-n1 context=131072 price=0.135/0.5 takes=text
nousresearch/hermes-2-pro-llama-3-8b context=8192 price=0.14/0.14 takes=text lacks=tools
nousresearch/hermes-3-llama-3.1-405b context=131072 output=16384 price=1/1 takes=text lacks=tools
nousresearch/hermes-3-llama-3.1-405b:free context=131072 price=0/0 takes=text lacks=structured_outputs,tools
nousresearch/hermes-3-llama-3.1-70b context=131072 output=16384 price=0.7/0.7 takes=text lacks=tools
nousresearch/hermes-4-405b context=131072 price=1/3 cache_read=0.2 takes=text lacks=structured_outputs,tools reasoning
nousresearch/hermes-4-70b context=131072 price=0.13/0.4 takes=text lacks=structured_outputs,tools reasoning
nvidia/llama-3.3-nemotron-super-49b-v1.5 context=131072 output=16384 price=0.4/0.4 takes=text lacks=structured_outputs reasoning
nvidia/nemotron-3-nano-30b-a3b context=262144 output=228000 price=0.06/0.24 cache_read=0.012 takes=text lacks=structured_outputs reasoning
nvidia/nemotron-3-nano-30b-a3b:free context=256000 price=0/0 takes=text lacks=structured_outputs reasoning
nvidia/nemotron-3-nano-omni-30b-a3b-reasoning:free context=256000 output=65536 price=0/0 takes=text,image,audio lacks=structured_outputs reasoning
nvidia/nemotron-3-super-120b-a12b context=262144 price=0.09/0.45 takes=text lacks=structured_outputs reasoning
nvidia/nemotron-3-super-120b-a12b:free context=262144 price=0/0 takes=text reasoning
nvidia/nemotron-nano-12b-v2-vl:free context=128000 price=0/0 takes=text,image lacks=structured_outputs reasoning
nvidia/nemotron-nano-9b-v2 context=131072 output=16384 price=0.04/0.16 takes=text lacks=structured_outputs reasoning
nvidia/nemotron-nano-9b-v2:free context=128000 price=0/0 takes=text reasoning
openai/gpt-3.5-turbo context=16385 output=4096 price=0.5/1.5 takes=text
openai/gpt-3.5-turbo-0613 context=4095 price=1/2 takes=text
openai/gpt-3.5-turbo-16k context=16385 output=4096 price=3/4 takes=text
openai/gpt-3.5-turbo-instruct context=4095 price=1.5/2 takes=text lacks=tools
openai/gpt-4 context=8191 output=4096 price=30/60 takes=text
openai/gpt-4-0314 context=8191 output=4096 price=30/60 takes=text
openai/gpt-4-1106-preview context=128000 output=4096 price=10/30 takes=text
openai/gpt-4-turbo context=128000 output=4096 price=10/30 takes=text,image
openai/gpt-4-turbo-preview context=128000 output=4096 price=10/30 takes=text
openai/gpt-4.1 context=1047576 output=32768 price=2/8 cache_read=0.5 takes=text,image,file
openai/gpt-4.1-mini context=1047576 output=32768 price=0.4/1.6 cache_read=0.1 takes=text,image,file
openai/gpt-4.1-nano context=1047576 output=32768 price=0.1/0.4 cache_read=0.03 takes=text,image,file
openai/gpt-4o context=128000 output=16384 price=2.5/10 cache_read=1.25 takes=text,image,file
openai/gpt-4o-2024-05-13 context=128000 output=4096 price=5/15 takes=text,image,file
openai/gpt-4o-2024-08-06 context=128000 output=16384 price=2.5/10 cache_read=1.25 takes=text,image,file
openai/gpt-4o-2024-11-20 context=128000 output=16384 price=2.5/10 cache_read=1.25 takes=text,image,file
openai/gpt-4o-mini context=128000 output=16384 price=0.15/0.6 cache_read=0.075 takes=text,image,file
openai/gpt-4o-mini-2024-07-18 context=128000 output=16384 price=0.15/0.6 cache_read=0.075 takes=text,image,file
openai/gpt-5 context=400000 output=128000 price=1.25/10 cache_read=0.125 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5-chat context=128000 output=16384 price=1.25/10 cache_read=0.125 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,tools,top_logprobs,top_p
openai/gpt-5-codex context=400000 output=128000 price=1.25/10 cache_read=0.125 takes=text,image lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5-mini context=400000 output=128000 price=0.25/2 cache_read=0.025 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5-nano context=400000 output=128000 price=0.05/0.4 cache_read=0.01 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5-pro context=400000 output=128000 price=15/120 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.1 context=400000 output=128000 price=1.25/10 cache_read=0.13 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.1-chat context=128000 output=16384 price=1.25/10 cache_read=0.125 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p
openai/gpt-5.1-codex context=400000 output=128000 price=1.25/10 cache_read=0.125 takes=text,image lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.1-codex-max context=400000 output=128000 price=1.25/10 cache_read=0.125 takes=text,image lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.1-codex-mini context=400000 output=128000 price=0.25/2 cache_read=0.03 takes=text,image lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.2 context=400000 output=128000 price=1.75/14 cache_read=0.175 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.2-chat context=128000 output=32000 price=1.75/14 cache_read=0.175 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p
openai/gpt-5.2-codex context=400000 output=128000 price=1.75/14 cache_read=0.175 takes=text,image lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.2-pro context=400000 output=128000 price=21/168 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.3-chat context=128000 output=16384 price=1.75/14 cache_read=0.175 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p
openai/gpt-5.3-codex context=400000 output=128000 price=1.75/14 cache_read=0.175 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.4 context=1050000 output=128000 price=5/22.5 cache_read=0.5 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.4-mini context=400000 output=128000 price=0.75/4.5 cache_read=0.075 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.4-nano context=400000 output=128000 price=0.2/1.25 cache_read=0.02 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.4-pro context=1050000 output=128000 price=60/270 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.5 context=1050000 output=128000 price=10/45 cache_read=1 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-5.5-pro context=1050000 output=128000 price=60/270 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/gpt-chat-latest context=400000 output=128000 price=5/30 cache_read=0.5 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p
openai/gpt-oss-120b context=131072 output=32768 price=0.1/0.5 takes=text reasoning
openai/gpt-oss-120b:free context=131072 price=0/0 takes=text lacks=structured_outputs reasoning
openai/gpt-oss-20b context=131072 price=0.03/0.14 cache_read=0.009 takes=text reasoning
openai/gpt-oss-20b:free context=131072 output=8192 price=0/0 takes=text lacks=structured_outputs reasoning
openai/gpt-oss-safeguard-20b context=131072 output=65536 price=0.075/0.3 cache_read=0.0375 takes=text lacks=structured_outputs reasoning
openai/o1 context=200000 output=100000 price=15/60 cache_read=7.5 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/o1-pro context=200000 output=100000 price=150/600 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,tools,top_logprobs,top_p reasoning
openai/o3 context=200000 output=100000 price=2/8 cache_read=0.5 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/o3-mini context=200000 output=100000 price=1.1/4.4 cache_read=0.55 takes=text,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/o3-mini-high context=200000 output=100000 price=1.1/4.4 cache_read=0.55 takes=text,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/o3-pro context=200000 output=100000 price=20/80 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/o4-mini context=200000 output=100000 price=1.1/4.4 cache_read=0.275 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
openai/o4-mini-high context=200000 output=100000 price=1.1/4.4 cache_read=0.275 takes=text,image,file lacks=frequency_penalty,logit_bias,logprobs,presence_penalty,temperature,top_logprobs,top_p reasoning
perceptron/perceptron-mk1 context=32768 output=8192 price=0.15/1.5 takes=text,image lacks=tools reasoning
poolside/laguna-m.1:free context=131072 output=8192 price=0/0 takes=text lacks=structured_outputs reasoning
poolside/laguna-xs.2:free context=131072 output=8192 price=0/0 takes=text lacks=structured_outputs reasoning
prime-intellect/intellect-3 context=131072 price=0.2/1.1 takes=text reasoning
qwen/qwen-2.5-72b-instruct context=32768 output=16384 price=0.36/0.4 takes=text
qwen/qwen-2.5-7b-instruct context=32768 price=0.1/0.2 takes=text lacks=structured_outputs
qwen/qwen-2.5-coder-32b-instruct context=32768 price=0.66/1 takes=text lacks=structured_outputs,tools
qwen/qwen-plus context=1000000 output=32768 price=0.78/2.34 cache_read=0.156 cache_write=0.975 takes=text lacks=structured_outputs
qwen/qwen-plus-2025-07-28 context=1000000 output=32768 price=0.26/0.78 cache_write=0.325 takes=text
qwen/qwen-plus-2025-07-28:thinking context=1000000 output=32768 price=0.26/0.78 cache_write=0.325 takes=text reasoning
qwen/qwen2.5-vl-72b-instruct context=32000 output=8192 price=0.8/1 cache_read=0.4 takes=text,image lacks=tools
qwen/qwen3-14b context=40960 price=0.1/0.24 takes=text reasoning
qwen/qwen3-235b-a22b context=131072 output=8192 price=0.455/1.82 takes=text lacks=structured_outputs reasoning
qwen/qwen3-235b-a22b-2507 context=262144 output=16384 price=0.09/0.55 takes=text
qwen/qwen3-235b-a22b-thinking-2507 context=131072 output=81920 price=0.45/3.5 takes=text reasoning
qwen/qwen3-30b-a3b context=40960 output=20000 price=0.12/0.5 takes=text reasoning
qwen/qwen3-30b-a3b-instruct-2507 context=262144 price=0.09/0.3 takes=text
qwen/qwen3-30b-a3b-thinking-2507 context=131072 price=0.08/0.4 takes=text reasoning
qwen/qwen3-32b context=40960 output=16384 price=0.14/0.4 cache_read=0.09 takes=text reasoning
qwen/qwen3-8b context=40960 output=8192 price=0.05/0.4 takes=text reasoning
qwen/qwen3-coder context=262144 output=65536 price=0.3/1.8 cache_read=0.1 takes=text
qwen/qwen3-coder-30b-a3b-instruct context=160000 output=32768 price=0.07/0.28 takes=text
qwen/qwen3-coder-flash context=1000000 output=65536 price=0.52/2.6 cache_read=0.104 cache_write=0.65 takes=text lacks=structured_outputs
qwen/qwen3-coder-next context=262144 price=0.12/0.8 cache_read=0.07 takes=text
qwen/qwen3-coder-plus context=1000000 output=65536 price=0.65/3.25 cache_read=0.13 cache_write=0.8125 takes=text
qwen/qwen3-coder:free context=262000 price=0/0 takes=text lacks=structured_outputs
qwen/qwen3-max context=262144 output=32768 price=1.2/6 cache_read=0.156 cache_write=0.975 takes=text lacks=structured_outputs
qwen/qwen3-max-thinking context=262144 output=32768 price=0.78/3.9 takes=text reasoning
qwen/qwen3-next-80b-a3b-instruct context=262144 output=16384 price=0.09/1.1 takes=text
qwen/qwen3-next-80b-a3b-instruct:free context=262144 price=0/0 takes=text
qwen/qwen3-next-80b-a3b-thinking context=131072 output=32768 price=0.15/1.2 takes=text reasoning
qwen/qwen3-vl-235b-a22b-instruct context=262144 output=16384 price=0.21/1.9 cache_read=0.11 takes=text,image
qwen/qwen3-vl-235b-a22b-thinking context=131072 output=32768 price=0.26/2.6 takes=text,image lacks=structured_outputs reasoning
qwen/qwen3-vl-30b-a3b-instruct context=131072 output=32768 price=0.2/0.7 takes=text,image
qwen/qwen3-vl-30b-a3b-thinking context=131072 output=32768 price=0.29/1.56 takes=text,image reasoning
qwen/qwen3-vl-32b-instruct context=131072 output=32768 price=0.104/0.416 takes=text,image lacks=structured_outputs
qwen/qwen3-vl-8b-instruct context=131072 output=32768 price=0.25/0.75 cache_read=0.12 takes=text,image
qwen/qwen3-vl-8b-thinking context=131072 output=32768 price=0.117/1.365 takes=text,image reasoning
qwen/qwen3.5-122b-a10b context=262144 output=65536 price=0.26/2.08 takes=text,image reasoning
qwen/qwen3.5-27b context=262144 output=65536 price=0.195/1.56 takes=text,image reasoning
qwen/qwen3.5-35b-a3b context=262144 output=81920 price=0.1625/1.3 cache_read=0.05 takes=text,image reasoning
qwen/qwen3.5-397b-a17b context=262144 output=65536 price=0.39/2.34 cache_read=0.3 takes=text,image reasoning
qwen/qwen3.5-9b context=262144 output=81920 price=0.1/0.15 takes=text,image reasoning
qwen/qwen3.5-flash-02-23 context=1000000 output=65536 price=0.065/0.26 cache_write=0.08125 takes=text,image reasoning
qwen/qwen3.5-plus-02-15 context=1000000 output=65536 price=0.325/1.95 takes=text,image reasoning
qwen/qwen3.5-plus-20260420 context=1000000 output=65536 price=0.375/2.25 cache_write=0.46875 takes=text,image reasoning
qwen/qwen3.6-27b context=262144 output=81920 price=0.45/3.2 cache_read=0.025 takes=text,image reasoning
qwen/qwen3.6-35b-a3b context=262144 price=0.149/1 takes=text,image reasoning
qwen/qwen3.6-flash context=1000000 output=65536 price=0.75/3 cache_write=0.9375 takes=text,image reasoning
qwen/qwen3.6-max-preview context=262144 output=65536 price=1.04/6.24 cache_write=1.3 takes=text reasoning
qwen/qwen3.6-plus context=1000000 output=65536 price=1.3/3.9 cache_write=1.625 takes=text,image reasoning
rekaai/reka-edge context=16384 price=0.1/0.1 takes=text,image
rekaai/reka-flash-3 context=65536 price=0.1/0.2 takes=text lacks=structured_outputs,tools reasoning
relace/relace-apply-3 context=256000 output=128000 price=0.85/1.25 takes=text lacks=structured_outputs,temperature,tools,top_p
relace/relace-search context=256000 output=128000 price=1/3 takes=text lacks=structured_outputs
sao10k/l3-euryale-70b context=8192 price=1.48/1.48 takes=text lacks=structured_outputs
sao10k/l3-lunaris-8b context=8192 price=0.04/0.05 takes=text lacks=tools
sao10k/l3.1-70b-hanami-x1 context=16000 price=3/3 takes=text lacks=structured_outputs,tools
sao10k/l3.1-euryale-70b context=131072 output=16384 price=0.85/0.85 takes=text
sao10k/l3.3-euryale-70b context=131072 output=16384 price=0.65/0.75 takes=text lacks=tools
stepfun/step-3.5-flash context=262144 output=16384 price=0.1/0.3 cache_read=0.02 takes=text lacks=structured_outputs reasoning
switchpoint/router context=131072 price=0.85/3.4 takes=text lacks=structured_outputs,tools reasoning
tencent/hunyuan-a13b-instruct context=131072 price=0.14/0.57 takes=text lacks=tools reasoning
tencent/hy3-preview context=262144 price=0.18/0.6 cache_read=0.06 takes=text lacks=structured_outputs reasoning
thedrummer/cydonia-24b-v4.1 context=131072 price=0.3/0.5 cache_read=0.15 takes=text lacks=structured_outputs,tools
thedrummer/rocinante-12b context=32768 price=0.25/0.5 takes=text
thedrummer/skyfall-36b-v2 context=32768 price=0.55/0.8 cache_read=0.25 takes=text lacks=structured_outputs,tools
thedrummer/unslopnemo-12b context=32768 price=0.4/0.4 takes=text
undi95/remm-slerp-l2-13b context=6144 output=4096 price=0.45/0.65 takes=text lacks=tools
upstage/solar-pro-3 context=128000 price=0.15/0.6 cache_read=0.015 takes=text reasoning
writer/palmyra-x5 context=1040000 output=8192 price=0.6/6 takes=text lacks=structured_outputs,tools
x-ai/grok-4.20 context=2000000 price=2.5/5 cache_read=0.4 takes=text,image,file reasoning
x-ai/grok-4.20-multi-agent context=2000000 price=2.5/6 cache_read=0.4 takes=text,image,file lacks=tools reasoning
x-ai/grok-4.3 context=1000000 price=2.5/5 cache_read=0.4 takes=text,image reasoning
x-ai/grok-build-0.1 context=256000 price=2/4 cache_read=0.4 takes=text,image reasoning
xiaomi/mimo-v2-flash context=262144 output=65536 price=0.1/0.3 cache_read=0.01 takes=text lacks=structured_outputs reasoning
xiaomi/mimo-v2-omni context=262144 output=65536 price=0.4/2 cache_read=0.08 takes=text,image,audio lacks=structured_outputs reasoning
xiaomi/mimo-v2-pro context=1048576 output=131072 price=1/3 cache_read=0.2 takes=text lacks=structured_outputs reasoning
xiaomi/mimo-v2.5 context=1048576 output=131072 price=0.4/2 cache_read=0.08 takes=text,image,audio lacks=structured_outputs reasoning
xiaomi/mimo-v2.5-pro context=1048576 output=16384 price=1/3 cache_read=0.2 takes=text reasoning
z-ai/glm-4-32b context=128000 price=0.1/0.1 takes=text lacks=structured_outputs
z-ai/glm-4.5 context=131072 output=98304 price=0.6/2.2 cache_read=0.11 takes=text lacks=structured_outputs reasoning
z-ai/glm-4.5-air context=131072 output=98304 price=0.2/1.1 cache_read=0.03 takes=text lacks=structured_outputs reasoning
z-ai/glm-4.5-air:free context=131072 output=96000 price=0/0 takes=text lacks=structured_outputs reasoning
z-ai/glm-4.5v context=65536 output=16384 price=0.6/1.8 cache_read=0.11 takes=text,image lacks=structured_outputs reasoning
z-ai/glm-4.6 context=202752 output=131072 price=0.6/2.2 cache_read=0.11 takes=text reasoning
z-ai/glm-4.6v context=131072 output=24000 price=0.3/0.9 cache_read=0.05 takes=text,image lacks=structured_outputs reasoning
z-ai/glm-4.7 context=202752 output=131072 price=0.6/2.2 cache_read=0.11 takes=text reasoning
z-ai/glm-4.7-flash context=202752 output=16384 price=0.0605/0.4 cache_read=0.01 takes=text reasoning
z-ai/glm-5 context=202752 output=131000 price=1/3.2 cache_read=0.2 takes=text reasoning
z-ai/glm-5-turbo context=202752 output=131072 price=1.2/4 cache_read=0.24 takes=text lacks=structured_outputs reasoning
z-ai/glm-5.1 context=202800 price=1.4/4.4 cache_read=0.26 takes=text reasoning
z-ai/glm-5v-turbo context=202752 output=131072 price=1.2/4 cache_read=0.24 takes=text,image lacks=structured_outputs reasoning
"""
