import assert from 'node:assert/strict';
import { formatTable } from '../../engine/cli/tables';
import { csv } from '../../shared/numbers';

const cell = (text: string) => csv([], [[text]]).split('\r\n')[1]!;

describe('CSV', () => {
  it('makes no formula of a text', () => {
    for (const text of ['=HYPERLINK(1)', '+cmd', '-cmd|x', '@SUM(1)', '\t=1+1', ' =1+1'])
      assert.match(cell(text), /^"?'/, text);
    assert.deepEqual(['-0.5', '+3', 'a=b', ''].map(cell), ['-0.5', '+3', 'a=b', '']);
    assert.equal(csv([], [[-0.5, null]]), '\r\n-0.5,\r\n');
  });

  it('shows what is hidden, and quotes after RFC 4180', () => {
    assert.equal(cell('a\u001b[2Jb'), 'a\\u001b[2Jb');
    assert.equal(csv(['a'], [['x,"y"\nz']]), 'a\r\n"x,""y""\nz"\r\n');
  });
});

describe('tables of the command line', () => {
  it('have a line a row, whatever a cell holds', () => {
    const table = formatTable(
      [{ title: 'name', cell: (name: string) => name }],
      ['a\nb', '\u001b[31m', '\u009b1m'],
    );
    assert.deepEqual(table.split('\n'), ['name', 'a\\u000ab', '\\u001b[31m', '\\u009b1m']);
  });
});
