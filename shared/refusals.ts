/** Why a model, a text or a wish is refused: forms whose holes count up, as in `SENTENCES`. */
export const REFUSALS = {
  noSplitScores:
    'This model does not split: positions or masks are added to its scores themselves (ALiBi, relative or computed biases).',
  noSplitParts: 'This model does not split: content and position miss its {0} by {1}.',
  noSplitAbsolute:
    'This model does not split: no absolute positions are added to its token embeddings before layer 0 (rotary, ALiBi and relative positions act within attention; fused, quantised or 16-bit embeddings hide the sum).',
  noSplitSame:
    'This model does not split: what is added to its token embeddings is the same for every position.',
  noSplitAffine:
    'This model does not split: its queries and keys of layer 0 are not an affine map behind one norm (the parts miss them by {0}), as in quantised models.',
  noSplitRows: 'This model does not split: its embeddings are not added row by row.',
  noMemory:
    'No token of this text has a memory: it ends within the first segment ({0} tokens), or nothing before a segment is kept.',
  noToken: 'There is no token {0}.',
  notKept: 'Where this word looks is not kept of a text of this length: the map of a head computes it.',
  patchDecoders: 'Patching is told of decoders that predict the next token of the text.',
  patchDense: 'Patching needs a dense pass over both texts.',
  patchModel: 'Both texts must be read by the same model: their heads are put for each other.',
  patchLength: 'Patching needs texts of equal length, token by token: they have {0} and {1} tokens.',
  patchSame: 'Up to token {0} both texts have the same tokens: none has anything to put into the other.',
  patchMany: 'The texts differ in {0} tokens: name those to be put in, as no more than {1} are unasked.',
  patchStates:
    'This model hands on more from layer to layer than goes by tokens: one token of it cannot be put into another text.',
  rolloutText: 'No attention of this model stays within that text.',
  rolloutKeys:
    'This model has keys that are no tokens of the text, over which attention cannot be multiplied.',
  noKeysThere: 'No attention of this model has keys of that text.',
  noBucketsOwn: 'The model itself has {0} attention in this head, which has no buckets.',
  noBuckets: 'The mechanism {0} has no buckets.',
  fewPairsLeast: 'No choice of mechanisms spends so few pairs: the least that was found on this text is {0}.',
  fewPairs:
    'No choice of mechanisms spends so few pairs: none has a setting for so small a share of a text of this length.',
  keepsNoPairs: '{0} keeps no set of pairs that a budget could choose: plans cannot use it.',
  textEmpty: 'The text is empty.',
  textBlank: 'The text has no tokens: it is white space only.',
  textNothing: 'The text is empty: there is nothing to analyze.',
  noTokenizer: 'No tokenizer in {0}: tokenizer.json, vocab.txt, or vocab.json with merges.txt is needed.',
  tokenizerMatches:
    'The tokenizer does not match the model: token {0} has id {1}, and the model knows ids up to {2}.',
  exactTokens: 'The model takes exactly {0} tokens; export it with a dynamic sequence length.',
  exactTexts: 'The model takes exactly {0} texts at a time; export it with a batch of one, or a dynamic one.',
  noSoftmaxProducts:
    'No attention with a softmax was found in the ONNX graph, but products of keys with values (linear or kernel attention): they have no map of probabilities to show.',
  noAttention:
    'No attention was found in the ONNX graph; the model is no transformer, or of an unknown form.',
  differential:
    'The model subtracts one attention map from another (differential attention, at {0}): what it gives a key is no probability, which is not supported.',
  mixture:
    'The model mixes attention maps before they meet the values (heads that are mixed, or maps that are added up, at {0}): what it gives a key is no probability of one head, which is not supported.',
  otherAxis:
    'The attention at {0} has its keys on another axis than the last, as in the first code of Transformer-XL ([queries, keys, batch, heads]); export it with scores of [batch, heads, queries, keys].',
  trainingMode:
    'The model was exported in training mode: the Dropout that makes {0} takes values away at random, so no two runs agree.',
  drawsRandom: 'The model draws random numbers ({0} makes {1}), so no two runs agree.',
  noFile: 'There is no file {0}.',
  noOnnxInFolder: 'The folder {0} holds no .onnx file.',
  severalModels: 'The folder {0} holds several models ({1}): give the file of one of them.',
  noHubId: '"{0}" is not a hub id of the form org/name.',
  noHubOnnx: '{0} has no ONNX files on the hub.',
} as const;
