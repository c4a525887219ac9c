// The checks, by name: each is made once over each binding.

export const CHECKS = [];

/** Registers a check `Operation/what`; it is called with a `World`. */
export const check = (name, run) => CHECKS.push([name, run]);
