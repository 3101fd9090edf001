"""Other guards behind an OpenAI-compatible address, so that one report compares them. Measured only, never in service.

Each is asked through its own chat template, which the model server has; a module says what is put into it, and how the
answer is read. An answer that can't be read is an error, never safe.
"""
