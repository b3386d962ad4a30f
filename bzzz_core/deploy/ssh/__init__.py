"""The only package that knows asyncssh: connections, host keys, commands, files, forwarding."""
