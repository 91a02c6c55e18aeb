// The error of a choice that cannot be carried out as it stands.

/** The message names the option as the command line does, and says what is allowed. */
export class UsageError extends Error {}
