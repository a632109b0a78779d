"""What the commands in tools/ do: also python -m gcl.tools.<name>, from any folder."""
