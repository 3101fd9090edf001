"""`moderation-service up`: brings up vLLM with a Qwen3Guard model on one machine, and the service in front of it.

    gpu       which GPUs there are and how much of their memory is free
    guard     the three models and what they need; the same for a folder with a model
    plan      free memory -> model, context length, memory fraction (pure)
    command_line   the plan as the command and environment of `vllm serve` (pure)
    hub       the protocols of Hugging Face and ModelScope
    download  a model's files onto the disk: resumed, verified, locked
    process   one child process with its own process group and log file
    upstream  is that server up, and does it speak Qwen3Guard? One request that warms it up
    supervisor   keeps vLLM running
    ending    signals become an orderly end
    up        the whole flow
    command   the click command

Nothing here imports torch or vllm; vLLM is a program that is started.
"""
