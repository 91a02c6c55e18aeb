// The progress line on a terminal and in a log, with a clock that the test turns.
import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { progress } from '../../src/cli/output/progress.js';

class Sink extends Writable {
  text = '';
  constructor(
    readonly isTTY: boolean,
    readonly columns = 120,
  ) {
    super();
  }
  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    this.text += chunk.toString();
    callback();
  }
}

function loop(stream: Sink, total: number, stepMs: number, steps = total, start?: number) {
  let clock = 1000;
  const bar = progress({
    label: 'self-training',
    total,
    stream,
    now: () => clock,
    ...(start === undefined ? {} : { start }),
  });
  for (let step = (start ?? 0) + 1; step <= steps; step++) {
    clock += stepMs;
    bar.update(step, { loss: 1 / step });
  }
  return bar;
}

describe('on a terminal', () => {
  test('shows one line: bar, counts, values, rate and time left', () => {
    const stream = new Sink(true);
    loop(stream, 400, 500, 100);
    expect(stream.text).not.toContain('\n');
    const last = stream.text.split('\r').at(-1)!;
    expect(last).toBe(
      'pgpc  self-training  [#####---------------]  100/400  loss 0.01  2 it/s  2m 30s left\x1b[K',
    );
  });

  test('redraws ten times a second at most', () => {
    const stream = new Sink(true);
    loop(stream, 10_000, 1);
    expect(stream.text.split('\r').length - 1).toBeLessThanOrEqual(101);
    expect(stream.text.split('\r').length - 1).toBeGreaterThan(90);
  });

  test('never wraps: a narrow terminal loses the bar, then the end of the line', () => {
    for (const columns of [70, 30, 10]) {
      const stream = new Sink(true, columns);
      loop(stream, 400, 500, 3);
      for (const line of stream.text.split('\r').slice(1)) {
        expect(line.replace('\x1b[K', '').length).toBeLessThan(columns);
      }
    }
  });

  test('the rate follows the last seconds', () => {
    const stream = new Sink(true);
    let clock = 0;
    const bar = progress({ label: 'x', total: 1000, stream, now: () => clock });
    for (let step = 1; step <= 100; step++) {
      clock += 100;
      bar.update(step);
    }
    expect(stream.text.split('\r').at(-1)).toContain('  10 it/s  ');
    for (let step = 101; step <= 120; step++) {
      clock += 2000;
      bar.update(step);
    }
    expect(stream.text.split('\r').at(-1)).toContain('  2 s/it  29m 20s left');
  });

  test('ends with one line that stays', () => {
    const stream = new Sink(true);
    const bar = loop(stream, 4, 500);
    bar.done('mIoU 41.2');
    bar.done('again');
    bar.update(5);
    expect(stream.text.split('\r').at(-1)).toBe(
      'pgpc  self-training  4/4  loss 0.25  2.0s  mIoU 41.2\x1b[K\n',
    );
  });
});

describe('in a log', () => {
  test('a loop writes a line a tenth, and one that is slower in nine seconds', () => {
    const stream = new Sink(false);
    loop(stream, 60, 1000).done();
    expect(stream.text.trimEnd().split('\n')).toHaveLength(11);
    stream.text = '';
    loop(stream, 400, 1000).done();
    const lines = stream.text.trimEnd().split('\n');
    expect(lines).toHaveLength(45);
    expect(lines[0]).toBe('pgpc  self-training  9/400  loss 0.111  1 it/s  6m 31s left');
    expect(lines.at(-1)).toBe('pgpc  self-training  400/400  loss 0.0025  6m 40s');
    expect(stream.text).not.toContain('\r');
    expect(stream.text).not.toContain('\x1b');
  });

  test('a fast loop writes a line every five seconds at most, and a short one only its end', () => {
    const fast = new Sink(false);
    loop(fast, 1000, 20).done();
    expect(fast.text.trimEnd().split('\n')).toHaveLength(5);
    const short = new Sink(false);
    loop(short, 20, 10).done();
    expect(short.text.trimEnd().split('\n')).toHaveLength(1);
  });

  test('going on with a run counts only its own steps', () => {
    const stream = new Sink(true);
    loop(stream, 400, 500, 310, 300);
    expect(stream.text.split('\r').at(-1)).toContain('  310/400  loss 0.00323  2 it/s  45s left');
  });
});

test('what comes besides the steps counts into the time left, and no step counts what was done between', () => {
  const stream = new Sink(true);
  let clock = 0;
  const bar = progress({ label: 'x', total: 100, stream, now: () => clock, ahead: (done) => 1000 - done });
  const last = () => stream.text.split('\r').at(-1)!;
  for (let step = 1; step <= 10; step++) {
    clock += 1000;
    bar.update(step);
  }
  expect(last()).toContain('10/100  1 it/s  18m 0s left');
  bar.hold({});
  for (let image = 1; image <= 4; image++) {
    clock += 20_000;
    bar.hold({ 'scored images': image });
    expect(last()).toContain(`10/100  scored images ${image}  1 it/s  18m 0s left`);
  }
  bar.hold(undefined);
  clock += 1000;
  bar.update(11, {});
  expect(last()).toContain('11/100  1 it/s  17m 58s left');
  // Where it is not said that something else has ended, the next step ends it.
  bar.hold({});
  clock += 60_000;
  bar.update(12, {});
  expect(last()).toContain('12/100  1.09 it/s');
});

test('a log gets a line of a slow loop within ten seconds', () => {
  const stream = new Sink(false);
  loop(stream, 10_000, 3000, 12);
  expect(stream.text.trimEnd().split('\n')).toHaveLength(4);
});

test('a note gets a line of its own, after which the bar is drawn again', () => {
  const [terminal, log] = [new Sink(true), new Sink(false)];
  for (const stream of [terminal, log]) {
    const bar = loop(stream, 400, 10, 3);
    stream.text = '';
    bar.note('warning: look');
    bar.update(4);
  }
  expect(terminal.text.startsWith('\rwarning: look\x1b[K\n\rpgpc  self-training  ')).toBe(true);
  expect(log.text).toBe('warning: look\n');
});

test('a total that is no count is refused', () => {
  for (const total of [0, -1, 1.5, Number.NaN]) {
    expect(() => progress({ label: 'x', total })).toThrow(/progress of 'x': total is/);
  }
});
