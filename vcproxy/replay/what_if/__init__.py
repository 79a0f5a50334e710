"""What if: a recorded run repeated in simulation, with a plugin replaced by another one."""
