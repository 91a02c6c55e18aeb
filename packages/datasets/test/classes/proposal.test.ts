// Proposed mappings: what goes together, why, and that the text is a file that maps as it says.
import { describe, expect, it } from 'vitest';
import { CAMVID_11, CAMVID_32 } from '../../src/classes/camvid.js';
import { CITYSCAPES_CLASSES } from '../../src/classes/cityscapes.js';
import { readMappingFile } from '../../src/classes/mapping-file.js';
import { proposeMapping } from '../../src/classes/proposal.js';
import { formatProposal, proposedEntries } from '../../src/classes/proposal-text.js';
import { Workspace } from '../support/files.js';

const space = new Workspace();
const named = (...names: string[]) => names.map((name) => ({ name }));
const without = { title: 'somewhere', shares: undefined };

describe('proposal', () => {
  it("brings Cityscapes' 19 classes to CamVid's 11", () => {
    const proposal = proposeMapping(CITYSCAPES_CLASSES, CAMVID_11.classes);
    expect(proposedEntries(proposal)).toEqual([
      'sky',
      'building',
      'pole',
      'road',
      '{ name: pavement, from: [sidewalk] }',
      '{ name: tree, from: [vegetation, terrain] }',
      '{ name: sign, from: [traffic light, traffic sign] }',
      '{ name: fence, from: [wall] }',
      '{ name: car, from: [truck, bus, train] }',
      '{ name: pedestrian, from: [person] }',
      '{ name: bicyclist, from: [rider, motorcycle, bicycle] }',
    ]);
    expect([proposal.ignore, proposal.undecided]).toEqual([[], []]);
  });

  it('leaves to decide what is of the kind of several classes, or of none', () => {
    const { classes, undecided } = proposeMapping(CITYSCAPES_CLASSES, CAMVID_32.classes);
    expect(undecided.map(({ side, name, candidates }) => [side, name, candidates.length])).toEqual([
      ['target', 'Animal', 0],
      ['target', 'CartLuggagePram', 0],
      ['target', 'Misc_Text', 2],
      ['target', 'OtherMoving', 3],
      ['target', 'SUVPickupTruck', 3],
      ['target', 'TrafficCone', 0],
      ['source', 'bicycle', 2],
    ]);
    // Two classes of the target are one of the source, and the other way round.
    const members = (name: string) => classes.find((one) => one.name === name)?.members.map((m) => m.name);
    expect(members('vegetation')).toEqual(['Tree', 'VegetationMisc', 'vegetation', 'terrain']);
    expect(members('Truck_Bus')).toEqual(['Truck_Bus', 'truck', 'bus']);
  });

  it('writes a file that says why, names what is large first, and is read as it says', async () => {
    const proposal = proposeMapping(
      named('void', 'Road', 'side-walk', 'van', 'odd, one', 'hay'),
      named('road', 'pavement', 'car', 'truck', 'Unlabelled', 'zoo'),
    );
    const text = formatProposal(proposal, {
      source: {
        title: 'a (folder)',
        shares: new Map([
          ['Road', 0.5],
          ['hay', 0.25],
          ['odd, one', 0.0004],
        ]),
      },
      target: { title: 'b (folder)', shares: new Map([['zoo', 0.1]]) },
    });
    expect(text.split('\n')).toEqual([
      '# A proposal by names: check each line. Shares are of the labelled pixels.',
      '# source: a (folder)',
      '# target: b (folder)',
      'classes:',
      '  - road                                   # same name; source 50.0 %',
      '  - { name: pavement, from: [side-walk] }  # side-walk: a word for it',
      'ignore: [Unlabelled, void]',
      expect.stringMatching(/^# Not decided, and refused until it is: .*ignore: rest/),
      '#   hay  (source, 25.0 %)',
      '#   zoo  (target, 10.0 %)',
      '#   "odd, one"  (source, 0.040 %)',
      '#   car  (target)',
      '#   truck  (target)',
      '#   van  (source)',
      '',
    ]);
    expect(await readMappingFile(await space.put('map.yaml', text))).toEqual({
      classes: [
        { name: 'road', from: [] },
        { name: 'pavement', from: ['side-walk'] },
      ],
      ignore: ['Unlabelled', 'void'],
    });
  });

  it('knows the words of other data sets of streets', () => {
    const proposal = proposeMapping(
      CITYSCAPES_CLASSES,
      named(
        'Bike Lane',
        'Traffic Sign (Front)',
        'sky-other',
        'wall-brick',
        'autorickshaw',
        'On Rails',
        'Car',
      ),
    );
    expect(proposedEntries(proposal).slice(0, 6)).toEqual([
      '{ name: Bike Lane, from: [road] }',
      '{ name: "Traffic Sign (Front)", from: [traffic light, traffic sign] }',
      '{ name: sky-other, from: [sky] }',
      '{ name: wall-brick, from: [wall, fence] }',
      '{ name: On Rails, from: [train] }',
      'Car',
    ]);
    expect(proposal.undecided.find(({ name }) => name === 'autorickshaw')?.candidates).toEqual([
      'On Rails',
      'Car',
    ]);
  });

  it('proposes nothing for names that say nothing', () => {
    const { classes, undecided } = proposeMapping(named('a', 'b'), named('c'));
    expect([classes, undecided.length]).toEqual([[], 3]);
    expect(
      formatProposal(proposeMapping(named('a'), named('b')), { source: without, target: without }),
    ).toContain('classes: []');
  });
});
