import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { choiceNote, mechanisms } from '../../engine/attention/registry';
import { settingOf } from '../../engine/attention/parameters';
import { refused } from '../../engine/errors';
import { REFUSALS } from '../../shared/refusals';
import { inLanguage, say, SENTENCES } from '../../shared/sentences';
import { english } from '../../shared/translate';
import { ROOT } from '../fixtures/cli';

const words = JSON.parse(readFileSync(join(ROOT, 'l10n/bundle.l10n.zh-cn.json'), 'utf8')) as Record<
  string,
  string
>;
const chinese: typeof english = (message, ...values) => english(words[message] ?? message, ...values);

describe('sentences of the engine', () => {
  it('are found again by their form, whatever stands in them', () => {
    const values = ['12', 'a (b) [c]. d', '7 %', 'no adapter'];
    for (const name of Object.keys(SENTENCES) as (keyof typeof SENTENCES)[]) {
      const said = say(name, ...values);
      assert.equal(inLanguage(said, english), said);
      assert.equal(inLanguage(said, chinese), english(words[SENTENCES[name]]!, ...values), name);
    }
  });

  it('of its refusals are found again too, in messages that hold foreign names', () => {
    const values = ['12', 'a (b) [c]', '7 %'];
    for (const name of Object.keys(REFUSALS) as (keyof typeof REFUSALS)[]) {
      const { message } = refused(name, ...values);
      assert.equal(inLanguage(message, chinese), english(words[REFUSALS[name]]!, ...values), name);
    }
    const { message } = refused('noSplitParts', 'queries', '7 %');
    assert.match(inLanguage(message, chinese), /查询/);
  });

  it('say the words in them in the same language', () => {
    const cut = say('firstTokens', 2048, say('text'), say('limit'), say('about', 9000));
    assert.equal(cut, 'Only the first 2048 tokens of the text were analyzed (the limit); it has about 9000.');
    assert.equal(
      inLanguage(cut, chinese),
      '只分析了文本的前 2048 个词元（设定的上限）；全长为 约 9000 个词元。',
    );
    const crashed = inLanguage(say('notUsed', 'WebGPU', say('crashed')), chinese);
    assert.match(crashed, /^未使用 WebGPU：其驱动程序/);
    const beaten = say('lostLess', 'Local window', say('movedFurther', '0.2', '0.1'));
    assert.match(inLanguage(beaten, chinese), /每个头都用局部窗口.*不过它的预测离稠密模型更远（0\.2 纳特/);
  });

  it('leave what is none of them as it is', () => {
    for (const other of ['', 'A driver said no.', 'It costs {0}.', '未知'])
      assert.equal(inLanguage(other, chinese), other);
  });

  it('are all that is noted of a choice of pairs', () => {
    const notes = mechanisms.flatMap(({ info, examples }) =>
      examples.flatMap(params => choiceNote(settingOf(info, params)) ?? []),
    );
    assert.ok(notes.length > 3);
    for (const { text } of notes) assert.match(inLanguage(text, chinese), /整段文本|无可选择/, text);
  });
});
