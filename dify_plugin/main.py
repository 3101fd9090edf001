"""Entry point of the plugin: Dify's daemon starts `python -m main` in this folder."""

from dify_plugin import DifyPluginEnv, Plugin

# Arguments given here win over environment variables, so INSTALL_METHOD and the like are left to the daemon.
plugin = Plugin(DifyPluginEnv(MAX_REQUEST_TIMEOUT=120))

if __name__ == "__main__":
    plugin.run()
