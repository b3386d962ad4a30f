"""How a process runs its components and ends them: in phases, within a known time, every one."""
