// The example learns to read digits.

import { expect, test, vi } from 'vitest';

test('more than 97 % of the test images are read correctly', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => {});
  await import('../digits.js');
  const last = log.mock.lastCall?.[0] as string;
  log.mockRestore();
  expect(last).toContain('of 10000 test images are read correctly');
  expect(Number.parseFloat(last)).toBeGreaterThan(97);
}, 180_000);
