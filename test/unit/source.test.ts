import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { bundledModels, listModels, resolveModel } from '../../engine/model/source/source';
import { chooseOnnx } from '../../engine/model/source/variants';

describe('model source', () => {
  let root: string;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'source-'));
  });
  after(() => rm(root, { recursive: true }));

  async function put(path: string, content = 'x'): Promise<string> {
    const file = join(root, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
    return file;
  }

  it('finds the bundled model by default and by name', async () => {
    const [name] = await bundledModels();
    assert.ok(name);
    for (const ref of ['bundled', name]) {
      const files = await resolveModel(ref);
      assert.equal(files.ref, ref);
      assert.ok((await stat(files.onnx)).size > 1e6);
      assert.ok((await stat(join(files.folder, 'tokenizer.json'))).isFile());
      assert.ok((await stat(join(files.folder, 'README.md'))).isFile(), 'has a model card');
      assert.ok(Number(files.config.num_hidden_layers) > 0);
    }
    assert.ok(
      (await stat((await resolveModel('bundled')).onnx)).size <= 12 * 2 ** 20,
      'small enough to ship',
    );
  });

  it('takes a folder in the Hugging Face layout', async () => {
    await put('hf/config.json', '{"model_type": "gpt2"}');
    await put('hf/tokenizer.json');
    const onnx = await put('hf/onnx/model.onnx');
    await put('hf/onnx/model_quantized.onnx');
    const files = await resolveModel(join(root, 'hf'));
    assert.deepEqual(files, {
      ref: join(root, 'hf'),
      name: 'hf',
      onnx,
      folder: join(root, 'hf'),
      config: { model_type: 'gpt2' },
    });
    const relativeRef = relative(process.cwd(), join(root, 'hf'));
    assert.equal((await resolveModel(relativeRef)).onnx, onnx);
  });

  it('finds the table of embeddings beside a decoder, of the same variant', async () => {
    for (const name of ['decoder_model_merged_q4', 'embed_tokens', 'embed_tokens_q4', 'vision_encoder'])
      await put(`vision/onnx/${name}.onnx`);
    const q4 = await resolveModel(join(root, 'vision/onnx/decoder_model_merged_q4.onnx'));
    assert.equal(q4.embedding, join(root, 'vision/onnx/embed_tokens_q4.onnx'));
    await put('vision/onnx/decoder_model_merged.onnx');
    const { onnx, embedding } = await resolveModel(join(root, 'vision'));
    assert.deepEqual(
      [onnx, embedding],
      ['decoder_model_merged', 'embed_tokens'].map(name => join(root, `vision/onnx/${name}.onnx`)),
    );
  });

  it('reads configurations as people and Python write them', async () => {
    await put('lenient/model.onnx');
    const text = '\ufeff{ // ours\n "model_type": "gpt2", "limit": Infinity, "scale": NaN, }';
    await put('lenient/config.json', text);
    assert.deepEqual((await resolveModel(join(root, 'lenient'))).config, {
      model_type: 'gpt2',
      limit: Infinity,
      scale: NaN,
    });
  });

  it('takes the facts of onnxruntime-genai where there is no config.json', async () => {
    await put('genai/model.onnx');
    const decoder = { head_size: 16, num_key_value_heads: 2, num_attention_heads: 4, hidden_size: 64 };
    const model = { type: 'llama', context_length: 512, vocab_size: 99, decoder };
    await put('genai/genai_config.json', JSON.stringify({ model }));
    const { config } = await resolveModel(join(root, 'genai'));
    assert.deepEqual(
      [config.model_type, config.head_dim, config.num_key_value_heads, config.max_position_embeddings],
      ['llama', 16, 2, 512],
    );
  });

  it('takes an .onnx file with the tokenizer beside it or one folder up', async () => {
    const up = await resolveModel(join(root, 'hf/onnx/model_quantized.onnx'));
    assert.equal(up.folder, join(root, 'hf'));
    assert.equal(up.name, 'model_quantized');
    assert.equal((await resolveModel(join(root, 'hf/onnx/model.onnx'))).name, 'hf');
    const lone = await put('flat/small.onnx');
    await put('flat/vocab.txt');
    assert.deepEqual(await resolveModel(lone), {
      ref: lone,
      name: 'small',
      onnx: lone,
      folder: join(root, 'flat'),
      config: {},
    });
  });

  it('chooses the most complete, then the most exact file', () => {
    assert.equal(
      chooseOnnx(['a/model_q4.onnx', 'a/model_fp16.onnx', 'a/model_int8.onnx']),
      'a/model_fp16.onnx',
    );
    assert.equal(chooseOnnx(['decoder_model.onnx', 'encoder_model.onnx', 'model_q4.onnx']), 'model_q4.onnx');
    assert.equal(chooseOnnx(['anything.onnx']), 'anything.onnx');
    assert.equal(chooseOnnx(['first.onnx', 'second.onnx']), null);
    assert.equal(chooseOnnx([]), null);
  });

  const refused: [string, () => Promise<string>, RegExp][] = [
    [
      'an unknown name',
      async () => 'nothing',
      /^There is no model "nothing": it is neither a bundled model \(/,
    ],
    ['a missing file', async () => 'missing/model.onnx', /^There is no file missing\/model\.onnx\.$/],
    ['a text file', () => put('notes.txt'), /notes\.txt is not an \.onnx file\.$/],
    [
      'a folder without models',
      async () => dirname(await put('empty/readme.md')),
      /empty holds no \.onnx file\.$/,
    ],
    [
      'a folder with several models',
      async () => {
        await put('many/a.onnx');
        return dirname(await put('many/b.onnx'));
      },
      /holds several models \(a\.onnx, b\.onnx\): give the file of one of them\.$/,
    ],
    [
      'an id without its owner',
      async () => 'gpt2-small',
      /nor a hub id, which has its owner before it \(owner\/gpt2-small\)\.$/,
    ],
    [
      'a broken config.json',
      async () => {
        await put('broken/config.json', '{"model_type":');
        return dirname(await put('broken/model.onnx'));
      },
      /config\.json is not a valid model configuration\.$/,
    ],
  ];
  for (const [name, ref, message] of refused) {
    it(`refuses ${name}`, async () => {
      await assert.rejects(resolveModel(await ref()), (error: Error) => {
        assert.equal(error.name, 'RefusedError');
        assert.match(error.message, message);
        return true;
      });
    });
  }

  it('lists bundled and workspace models, each once, and searches no further than it should', async () => {
    const ws = join(root, 'workspace');
    await put(
      'workspace/models/tiny/config.json',
      '{"model_type": "bert", "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 512}',
    );
    await put('workspace/models/tiny/onnx/model.onnx', 'x'.repeat(2 ** 20));
    await put('workspace/models/tiny/onnx/model_int8.onnx');
    await put('workspace/models/tiny/README.md', '---\nlicense: apache-2.0\n---\n# Tiny\n');
    await put('workspace/alone.onnx');
    await put('workspace/node_modules/p/hidden.onnx');
    await put('workspace/.cache/hidden.onnx');
    await put('workspace/1/2/3/4/5/6/deep.onnx');
    await symlink(ws, join(ws, 'loop'));
    const models = await listModels([ws, ws]);
    assert.deepEqual(
      models.filter(model => model.source === 'bundled').map(model => model.ref),
      await bundledModels(),
    );
    assert.deepEqual(
      models.filter(model => model.source === 'workspace'),
      [
        { ref: join(ws, 'alone.onnx'), label: 'alone', detail: '0.0 MB', source: 'workspace' },
        {
          ref: join(ws, 'models/tiny'),
          label: 'tiny',
          detail: '1.0 MB, bert, 2 layers, 4 heads, context 512, licence apache-2.0',
          source: 'workspace',
        },
      ],
    );
  });
});
