"""Wraps ONNX's own node tests of `Attention` as models of one core and analyses them with the built command line.

    node esbuild.mjs
    python test/reference/attention_nodes.py FOLDER [pattern of names]

Needs onnx (1.22 or later), onnxruntime, numpy and safetensors. Every test's node keeps its attributes, its inputs (masks of every rank
and type, past keys, counts of keys) and its type; batches become one text. Where keys and queries of the test have different
lengths, a second model has keys before the text (refused by name). A model that ONNX Runtime does not run is left out. Checked: the
analysis is verified, and its probabilities are those of ONNX's reference implementation. Prints refusals, and fails
on wrong numbers and on refusals that do not name what is not served.
"""
import json
import re
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import load_file

warnings.filterwarnings("ignore")
from onnx.backend.test.case.node import collect_testcases  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
WORDS, WIDTH, TOKENS, ROOM, EARLIER = 60, 24, 21, 160, 2
DTYPES = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}
onnxruntime.set_default_logger_severity(4)


class Wrapped:
    """A model of one core around the node of a test; `earlier`: keys that stand before the text's."""

    def __init__(self, case, earlier):
        self.case, self.node = case, onnx.NodeProto()
        self.node.CopyFrom(case.model.graph.node[0])
        self.given = {i.name: i.type.tensor_type for i in case.model.graph.input}
        self.element = self.given["Q"].elem_type
        self.dtype = DTYPES[self.element]
        self.random = np.random.default_rng(7)
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []
        self.earlier = earlier
        self.build()

    def dims(self, name):
        return [d.dim_value for d in self.given[name].shape.dim]

    def attribute(self, name):
        return next((helper.get_attribute_value(a) for a in self.node.attribute if a.name == name), None)

    def op(self, kind, inputs, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def weight(self, values):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def matrix(self, *shape):
        return self.weight((self.random.standard_normal(shape) / np.sqrt(shape[0])).astype(self.dtype))

    def side(self, x, name):
        """Projection of x to an input of the node, in its rank."""
        shape = self.dims(name)
        if len(shape) == 3:
            return self.op("MatMul", [x, self.matrix(WIDTH, shape[2])])
        flat = self.op("MatMul", [x, self.matrix(WIDTH, shape[1] * shape[3])])
        split = self.op("Reshape", [flat, self.weight(np.array([0, -1, shape[1], shape[3]]))])
        return self.op("Transpose", [split], perm=[0, 2, 1, 3])

    def mask(self, queries, keys):
        shape = self.dims("attn_mask")
        if len(shape) == 4:
            shape = [1, *shape[1:]]
        lengths = min(2, len(shape))
        rows = [1 if lengths == 2 and shape[-2] == 1 else ROOM] if lengths == 2 else []
        whole = [*shape[:-lengths], *rows, ROOM]
        if len(whole) == 3 and whole[0] not in (1, self.heads):
            whole[0] = 1
        if self.given["attn_mask"].elem_type == TensorProto.BOOL:
            values = self.random.random(whole) < 0.7
            values[..., 0] = True
        else:
            values = self.random.standard_normal(whole).astype(self.dtype)
        axes = [len(whole) - 1] if not rows or rows == [1] else [len(whole) - 2, len(whole) - 1]
        ends = keys if len(axes) == 1 else self.op("Concat", [queries, keys], axis=0)
        starts = self.weight(np.zeros(len(axes), np.int64))
        return self.op("Slice", [self.weight(values), starts, ends, self.weight(np.array(axes))])

    def build(self):
        four = len(self.dims("Q")) == 4
        self.heads = self.dims("Q")[1] if four else self.attribute("q_num_heads")
        groups = self.dims("K")[1] if four else self.attribute("kv_num_heads")
        width = (self.dims("V")[3] if four else self.dims("V")[2] // groups) * self.heads
        table = self.weight((2 * self.random.standard_normal((WORDS, WIDTH))).astype(self.dtype))
        x = self.op("Gather", [table, "input_ids"])
        tokens = self.op("Slice", [self.op("Shape", ["input_ids"]), *(self.weight(np.array([v])) for v in (1, 2))])
        y, keys = x, tokens
        if self.earlier:
            y = self.op("Concat", [self.matrix(1, EARLIER, WIDTH), x], axis=1)
            keys = self.op("Add", [tokens, self.weight(np.array([EARLIER]))])
        made = {"Q": self.side(x, "Q"), "K": self.side(y, "K"), "V": self.side(y, "V")}
        held = keys
        for name, cache in (("past_key", "past_key_values.0.key"), ("past_value", "past_key_values.0.value")):
            if name not in self.node.input:
                continue
            past = self.dims(name)
            self.inputs.append(helper.make_tensor_value_info(cache, self.element, [1, past[1], "past", past[3]]))
            made[name] = cache
            if name == "past_key":
                shape = self.op("Shape", [cache])
                length = self.op("Slice", [shape, *(self.weight(np.array([v])) for v in (2, 3))])
                held = self.op("Add", [keys, length])
        if "attn_mask" in self.node.input:
            made["attn_mask"] = self.mask(tokens, held)
        if "nonpad_kv_seqlen" in self.node.input:
            made["nonpad_kv_seqlen"] = keys
        for at, name in enumerate(self.node.input):
            self.node.input[at] = made.get(name, "")
        for at, name in enumerate(self.node.output):
            if at == 0 or not name:
                continue
            renamed = {1: "present.0.key", 2: "present.0.value", 3: "scores"}[at]
            self.node.output[at] = renamed
            self.outputs.append(helper.make_tensor_value_info(renamed, self.element, [None] * 4))
        self.node.output[0] = "attended"
        self.nodes.append(self.node)
        joined = "attended"
        if four:
            joined = self.op("Transpose", [joined], perm=[0, 2, 1, 3])
            joined = self.op("Reshape", [joined, self.weight(np.array([0, -1, width]))])
        hidden = self.op("Add", [self.op("MatMul", [joined, self.matrix(width, WIDTH)]), x])
        logits = self.op("MatMul", [hidden, self.matrix(WIDTH, WORDS)])
        self.nodes.append(helper.make_node("Cast", [logits], ["logits"], to=TensorProto.FLOAT))
        self.inputs.insert(0, helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"]))
        self.outputs.insert(0, helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "tokens", WORDS]))

    def model(self):
        graph = helper.make_graph(self.nodes, "core", self.inputs, self.outputs, self.weights)
        return helper.make_model(graph, opset_imports=self.case.model.opset_import, ir_version=10)

    def feeds(self, ids):
        feeds = {"input_ids": ids[None]}
        for value in self.inputs[1:]:
            shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
            feeds[value.name] = np.zeros([1, shape[1], 0, shape[3]], self.dtype)
        return feeds

    def probabilities(self, ids):
        """The map of ONNX's reference implementation: the output of the node after its softmax."""
        model = self.model()
        node = next(n for n in model.graph.node if n.op_type == "Attention")
        for attribute in [a for a in node.attribute if a.name == "qk_matmul_output_mode"]:
            node.attribute.remove(attribute)
        node.attribute.append(helper.make_attribute("qk_matmul_output_mode", 3))
        outputs = [*node.output, "", "", ""][:3] + ["map"]
        del node.output[:]
        node.output.extend(outputs)
        del model.graph.output[:]
        model.graph.output.append(helper.make_tensor_value_info("map", self.element, [None] * 4))
        return ReferenceEvaluator(model).run(["map"], self.feeds(ids))[0][0].astype(np.float32)


def write(folder, model):
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    vocabulary = {f"t{i}": i for i in range(WORDS)}
    words = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "t0"}
    tokenizer = {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"}, "model": words}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def check(wrapped, folder):
    """Result and words: right, wrong, refused, or left out."""
    model = wrapped.model()
    ids = np.random.default_rng(3).integers(0, WORDS, TOKENS)
    write(folder, model)
    try:
        options = onnxruntime.SessionOptions()
        session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        logits = session.run(["logits"], wrapped.feeds(ids))[0]
    except Exception as error:
        return "left out", f"ONNX Runtime: {str(error).strip().splitlines()[0][:150]}"
    text, tensors, result = folder / "text.txt", folder / "tensors.safetensors", folder / "result.json"
    text.write_text(" ".join(f"t{i}" for i in ids))
    command = ["node", ROOT / "dist" / "cli.js", "analyze", text, "--model", folder, "--device", "cpu"]
    outputs = ["--tensors", tensors, "--weights", "--json", result]
    run = subprocess.run([*command, *outputs], capture_output=True, text=True, timeout=120)
    if run.returncode != 0:
        return "refused", f"exit {run.returncode}: {run.stderr.strip().splitlines()[-1]}"
    verified = json.loads(result.read_text())["verified"]["holds"]
    ours = load_file(tensors)
    tolerance = 1e-5 if wrapped.dtype is np.float32 else 5e-3
    expected = wrapped.probabilities(ids)
    heads = float(np.abs(ours["core.0.weights"] - expected).max()) if expected.shape == ours["core.0.weights"].shape else np.inf
    output = float(np.abs(ours["logits"] - logits[0]).max() / np.abs(logits).max())
    good = verified and heads < tolerance and output < tolerance
    words = f"probabilities {heads:.1e}, logits {output:.1e}{'' if verified else ', not verified'}"
    return "right" if good else "wrong", words


def jobs(part):
    for case in collect_testcases("Attention"):
        if "expanded" in case.name or not re.search(part, case.name):
            continue
        element = case.model.graph.input[0].type.tensor_type.elem_type
        if element not in DTYPES:
            continue
        wrapped = Wrapped(case, earlier=False)
        yield case.name, wrapped
        if wrapped.dims("K")[-2] > wrapped.dims("Q")[-2] and "past_key" not in case.model.graph.node[0].input:
            yield f"{case.name}_keys_before", Wrapped(case, earlier=True)


def main():
    folder, part = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    counts = {}
    with ThreadPoolExecutor(2) as pool:
        running = [(name, pool.submit(check, wrapped, folder / name)) for name, wrapped in jobs(part)]
        for name, job in running:
            result, words = job.result()
            unnamed = result == "refused" and not re.search(r"exit 3: ", words)
            result = "wrong" if unnamed else result
            counts[result] = counts.get(result, 0) + 1
            print(f"{result:9} {name}: {words}", flush=True)
    print(counts)
    sys.exit(1 if counts.get("wrong") or not counts.get("right") else 0)


main()
