/** Models, their cores, and the devices they run on. */

export const DEVICE_NAMES = ['cpu', 'webgpu', 'cuda', 'dml', 'coreml'] as const;
export type DeviceName = (typeof DEVICE_NAMES)[number];

export type DeviceChoice = 'auto' | DeviceName;

/** The device that really runs, and why the wished-for one does not, if so. */
export interface DeviceReport {
  device: DeviceName;
  requested: DeviceChoice;
  /** The GPU as ONNX Runtime names it; null on the CPU, and where none was found. */
  adapter: string | null;
  /** One sentence per provider that was tried and not taken. */
  notes: string[];
}

/** A device that cannot be relied on: its driver ended a process. */
export type CrashedDevice = Pick<DeviceReport, 'device' | 'adapter'>;

export type ModelKind = 'decoder' | 'encoder' | 'encoder-decoder';

export type CoreKind = 'self' | 'encoder' | 'decoder' | 'cross';

/** What stands between scores and values in a core, by the name of the mechanism. */
export interface CoreAttention {
  /** A mechanism's name, or `sink`; `dense` where nothing else. */
  name: string;
  /** The model was made with it. */
  native: boolean;
  /** Its settings, and what is learned as one number for each head. */
  params: Record<string, number | boolean | string | number[]>;
}

export interface CoreInfo {
  /** Position in execution order. */
  core: number;
  kind: CoreKind;
  /** Layer within its stack, from 0. */
  layer: number;
  heads: number;
  kvHeads: number;
  dim: number;
  /** In words: "causal", "causal, window 128", "full, relative bias". */
  mask: string;
  causal: boolean;
  /** Absent: dense. */
  attention?: CoreAttention;
  /**
   * The key of the setting that is what the model itself does here; absent where it is dense, and where only the model's
   * own graph or tensors can do it.
   */
  ownSetting?: string;
  /**
   * What makes it native is its mask (a window, chunks, a sink), under which dense attention is run, too: that is the model's own. Of
   * other native cores dense attention is a what-if that sees everything.
   */
  ownMask?: true;
}

/** Proof that the cut model is the model: largest differences to the uncut model in ONNX Runtime. */
export interface Verification {
  /** Own cores against the uncut model, absolute, over all outputs and lengths tried. */
  maxAbsDiff: number;
  /** The same divided by the largest absolute output. */
  maxRelDiff: number;
  /** Cores run by ONNX Runtime at the same optimisation level gave the same bits. */
  bitEqual: boolean;
  /** What it was compared with, and at which lengths. */
  reference: string;
  /** Tokens of the longest of the texts. */
  tokens?: number;
  /** What had to be assumed of the model's inputs, as a sentence. */
  assumed?: string;
}

/** By what the files of a model are told from others. */
export interface ModelFingerprint {
  /** Of the lines that `sha256sum` prints of `files`, in their order: `<sha256>  <file>\n`. */
  sha256: string;
  /** All that is read of the model, relative to its folder, by name. */
  files: { file: string; sha256: string }[];
}

/** Layers that mix the tokens by something else than attention. */
export interface OtherLayers {
  /** "convolution", "linear attention", ... */
  what: string;
  count: number;
  /** Which of the model's layers they are, of how many; absent where only the graph tells that there are some. */
  layers?: number[];
  of?: number;
}

/** How the rows of an encoder's output become the embedding of a text: their mean, the first of them, or the last. */
export const POOLINGS = ['mean', 'first', 'last'] as const;
export type Pooling = (typeof POOLINGS)[number];

export interface ModelInfo {
  name: string;
  /** What the user gave: "bundled", a path, a hub id. */
  ref: string;
  kind: ModelKind;
  layers: number;
  /** Heads per core (the largest, if they differ). */
  heads: number;
  causal: boolean;
  parameters: number;
  /** Longest text in tokens, or null when the model sets no limit. */
  context: number | null;
  vocabulary: number | null;
  /** False for base models: then there is no loss. */
  languageModelHead: boolean;
  /** Of a model without such a head: as its own files say, else as is usual. Absent where they say something else. */
  pooling?: Pooling;
  cores: CoreInfo[];
  /** Of a hybrid model: what is not attention, and so not shown. */
  otherLayers?: OtherLayers[];
  verified: Verification;
  /** Absent in what an earlier version kept. */
  fingerprint?: ModelFingerprint;
}

/** By what a result can be made again, beside the settings that stand with it. Every file of results names it. */
export interface Provenance {
  tool: { name: string; version: string };
  /** null where tensors were given instead. */
  model: (ModelFingerprint & Pick<ModelInfo, 'name' | 'ref'>) | null;
  /** What was read, in UTF-8 (files of tensors: their bytes). */
  inputs: { name: string; sha256: string }[];
  /** Of what is drawn at random beside the mechanisms, whose seeds are parameters. */
  seeds: Record<string, number>;
  device: {
    device: DeviceName;
    requested: DeviceChoice;
    adapter: string | null;
    /** Of one session of ONNX Runtime, and of the machine. */
    threads: number;
    processors: number;
    /** `linux-x64` */
    platform: string;
  };
  /** Versions of what computes. */
  runtime: { onnxruntime: string; node: string };
}

/** What an .onnx file says of itself, read without its weights. */
export interface ModelFileFacts {
  /** With the weight files that it names. */
  bytes: number;
  irVersion: number;
  /** The default domain is ''. */
  opsets: { domain: string; version: number }[];
  producer: string;
  nodes: number;
  inputs: GraphValue[];
  outputs: GraphValue[];
  /** A tokenizer lies beside it: without one no text can be analysed. */
  tokenizer: boolean;
}

export interface GraphValue {
  name: string;
  /** `int64`, `float32`; a number where it has no name here. */
  type: string;
  /** Sizes and names of sizes; null where the rank is unknown. */
  dims: (number | string)[] | null;
}

/** A model that was looked at, and not loaded for use. */
export interface ModelInspection {
  /** null where not even that could be read. */
  facts: ModelFileFacts | null;
  /** null where it cannot be used: `refused` says why. */
  info: ModelInfo | null;
  refused: string | null;
}

/** What was downloaded from the hub. */
export interface ModelCacheInfo {
  folder: string;
  models: { id: string; bytes: number }[];
}

export interface HubModel {
  ref: string;
  label: string;
  detail: string;
  /** `papers`: small models of ours, each made with the mechanism of one paper. */
  source: 'bundled' | 'papers' | 'workspace' | 'recent' | 'hub';
  /** Bytes to be downloaded before it can be used; absent where it is on this machine. */
  download?: number;
}
