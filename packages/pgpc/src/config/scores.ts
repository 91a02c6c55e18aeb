// Scores without labels, by which a checkpoint can be chosen.

export const scoreNames = ['information', 'density', 'entropy', 'agreement', 'margin'] as const;
export type UnlabelledScoreName = (typeof scoreNames)[number];
