"""The pages for people at `/console`: rendered here, without a build step. Needs the extra `console`."""
