import {
  add,
  atLeast,
  block,
  f32,
  f32x,
  f32x4,
  f64x2,
  get,
  i32,
  i32x4,
  lessThan,
  load,
  loopWhile,
  mul,
  set,
  shl,
  startModule,
  sub,
  v128,
  WasmFunction,
  when,
  type Code,
  type Local,
  type WasmMemory,
} from '../../runtime/wasm';

/** The loops over single pairs, as a WebAssembly module: all numbers lie in its memory, places in it are in bytes. */
export interface PairProgram {
  /**
   * Attention of `rows` queries to lists of keys. `starts` [rows + 1]: where each list begins in `keys` (whole numbers) and in `bias`
   * (0 = there is none); `q`, `k`, `v`, `out`: rows of `keyBytes` and `valueBytes` bytes, multiples of 16. `tops` and `sums`, [rows]:
   * the largest score and the sum of exp(score - largest), 0 where a list is empty. `scratch`: as long as the longest list, and 8 more.
   */
  attend(
    rows: number,
    starts: number,
    keys: number,
    bias: number,
    q: number,
    k: number,
    v: number,
    out: number,
    tops: number,
    sums: number,
    scratch: number,
    keyBytes: number,
    valueBytes: number,
    scale: number,
  ): void;
  /** [rows, stride] dot products in float64 of `q` [rows, dim] with the first `count` columns of `a` [dim, stride]; stride and count: multiples of 8. */
  dots(rows: number, count: number, stride: number, dim: number, q: number, a: number, out: number): void;
  /** The same, but of each dimension the larger of its products with `a` and `b`. */
  bounds(
    rows: number,
    count: number,
    stride: number,
    dim: number,
    q: number,
    a: number,
    b: number,
    out: number,
  ): void;
}

export function startPairProgram(memory: WasmMemory): PairProgram {
  const functions = [attend(), products('dots', false), products('bounds', true)];
  return startModule(functions, memory) as PairProgram;
}

const VECTOR = 16;
const increase = (local: Local, by: Code): Code => set(local, add(get(local), by));
const accumulate = (sum: Local, value: Code): Code => set(sum, f32x4.add(get(sum), value));

function attend(): WasmFunction {
  const f = new WasmFunction('attend', [...new Array<'i32'>(13).fill('i32'), 'f32']);
  const [rows, starts, keys, bias, q, k, v, out, tops, sums, scratch, keyBytes, valueBytes, scale] =
    f.parameters as [Local, Local, Local, Local, Local, Local, Local, Local, Local, Local, Local, Local, Local, Local]; // prettier-ignore
  const [row, count, list, biasOf, j, c, at, limit] = Array.from({ length: 8 }, () => f.local('i32')) as [Local, Local, Local, Local, Local, Local, Local, Local]; // prettier-ignore
  const places = Array.from({ length: 4 }, () => f.local('i32'));
  const sum = Array.from({ length: 8 }, () => f.local('v128'));
  const [x, y, n, top, weight] = Array.from({ length: 5 }, () => f.local('v128')) as [Local, Local, Local, Local, Local]; // prettier-ignore
  const largest = f.local('f32');
  const zero = f32x4.of(0);
  const four = (address: Local) => add(get(address), shl(get(j), i32(2)));

  /** Four keys at a time: their scores in `x`. */
  const scores = block(
    ...places.map((place, t) => set(place, add(get(k), mul(load(four(list), 4 * t), get(keyBytes))))),
    ...places.map((_, t) => set(sum[t]!, zero)),
    set(c, i32(0)),
    loopWhile(
      lessThan(get(c), get(keyBytes)),
      block(
        set(x, v128.load(add(get(q), get(c)))),
        ...places.map((place, t) =>
          accumulate(sum[t]!, f32x4.mul(get(x), v128.load(add(get(place), get(c))))),
        ),
        increase(c, i32(VECTOR)),
      ),
    ),
    set(x, f32x4.mul(sumOfLanes(sum.slice(0, 4)), f32x4.splat(get(scale)))),
    when(get(bias), set(x, f32x4.add(get(x), v128.load(four(biasOf))))),
  );

  /** Sums of values over the list, `width` vectors at once from byte `c` on. */
  const values = (width: number) =>
    loopWhile(
      atLeast(sub(get(valueBytes), get(c)), i32(VECTOR * width)),
      block(
        ...sum.slice(0, width).map(one => set(one, zero)),
        set(j, i32(0)),
        loopWhile(
          lessThan(get(j), get(count)),
          block(
            set(at, add(add(get(v), get(c)), mul(load(four(list)), get(valueBytes)))),
            set(weight, f32x4.loadSplat(four(scratch))),
            ...sum
              .slice(0, width)
              .map((one, t) => accumulate(one, f32x4.mul(get(weight), v128.load(get(at), VECTOR * t)))),
            increase(j, i32(1)),
          ),
        ),
        ...sum
          .slice(0, width)
          .map((one, t) => v128.store(add(get(out), get(c)), f32x4.mul(get(one), get(top)), VECTOR * t)),
        increase(c, i32(VECTOR * width)),
      ),
    );

  const overList = (body: Code) =>
    block(set(j, i32(0)), loopWhile(lessThan(get(j), get(count)), block(body, increase(j, i32(4)))));
  const lanes = (of: Local, both: (a: Code, b: Code) => Code) =>
    both(
      both(f32x4.lane(get(of), 0), f32x4.lane(get(of), 1)),
      both(f32x4.lane(get(of), 2), f32x4.lane(get(of), 3)),
    );

  f.body = loopWhile(
    lessThan(get(row), get(rows)),
    block(
      set(at, add(get(starts), shl(get(row), i32(2)))),
      set(count, sub(load(get(at), 4), load(get(at)))),
      set(list, add(get(keys), shl(load(get(at)), i32(2)))),
      set(biasOf, add(get(bias), shl(load(get(at)), i32(2)))),
      overList(block(scores, v128.store(four(scratch), get(x)))),
      // Behind the list stands what belongs to the next one.
      ...[0, 4, 8].map(offset =>
        f32x.store(add(get(scratch), shl(get(count), i32(2))), f32(-Infinity), offset),
      ),
      set(top, f32x4.of(-Infinity)),
      overList(set(top, f32x4.max(get(top), v128.load(four(scratch))))),
      set(largest, lanes(top, f32x.max)),
      set(top, f32x4.splat(get(largest))),
      set(sum[0]!, zero),
      overList(
        block(
          exponential(f32x4.sub(v128.load(four(scratch)), get(top)), x, y, n),
          v128.store(four(scratch), get(y)),
          accumulate(sum[0]!, get(y)),
        ),
      ),
      set(limit, shl(get(row), i32(2))),
      f32x.store(add(get(tops), get(limit)), get(largest)),
      f32x.store(add(get(sums), get(limit)), lanes(sum[0]!, f32x.add)),
      // From here on what the weights are divided by.
      set(top, f32x4.splat(f32x.div(f32(1), f32x.load(add(get(sums), get(limit)))))),
      when(get(count), [], set(top, zero)),
      set(c, i32(0)),
      ...[8, 4, 1].map(values),
      increase(q, get(keyBytes)),
      increase(out, get(valueBytes)),
      increase(row, i32(1)),
    ),
  );
  return f;
}

/** The sums of four vectors' lanes, as one vector. */
function sumOfLanes(of: readonly Local[]): Code {
  const [a, b, c, d] = of.map(get) as [Code, Code, Code, Code];
  const halves = (one: Code, other: Code) =>
    f32x4.add(f32x4.shuffle(one, other, [0, 1, 4, 5]), f32x4.shuffle(one, other, [2, 3, 6, 7]));
  const [first, second] = [halves(a, b), halves(c, d)];
  return f32x4.add(f32x4.shuffle(first, second, [0, 2, 4, 6]), f32x4.shuffle(first, second, [1, 3, 5, 7]));
}

/** Below it exp is 0 in float32, but for numbers that are not normal. */
const LEAST = -87.3;
/** exp(x) of |x| < ln 2 / 2 beside 1 + x, by powers from the seventh down (Cephes, expf). */
const POWERS = [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1]; // prettier-ignore

/** `y` = exp(value) of values that are not above 0; `x` and `n` are used. */
function exponential(value: Code, x: Local, y: Local, n: Local): Code {
  const [first, ...others] = POWERS;
  const power = i32x4.shl(i32x4.add(i32x4.fromFloats(get(n)), i32x4.of(127)), 23);
  const polynomial = others.reduce<Code>(
    (sum, one) => f32x4.add(f32x4.mul(sum, get(x)), f32x4.of(one)),
    f32x4.of(first!),
  );
  const isThere = f32x4.greater(get(y), f32x4.of(LEAST));
  return block(
    set(y, value),
    set(x, f32x4.max(get(y), f32x4.of(LEAST))),
    set(n, f32x4.nearest(f32x4.mul(get(x), f32x4.of(Math.LOG2E)))),
    // ln 2 in two parts, so that nothing of the rest is lost.
    set(x, f32x4.sub(get(x), f32x4.mul(get(n), f32x4.of(0.693359375)))),
    set(x, f32x4.add(get(x), f32x4.mul(get(n), f32x4.of(2.1219444e-4)))),
    set(
      y,
      v128.and(
        f32x4.mul(
          f32x4.add(f32x4.add(f32x4.mul(polynomial, f32x4.mul(get(x), get(x))), get(x)), f32x4.of(1)),
          power,
        ),
        isThere,
      ),
    ),
  );
}

/** Sums in the order of the dimensions, each for itself: the same as one after the other. */
function products(name: string, isBound: boolean): WasmFunction {
  const f = new WasmFunction(name, new Array<'i32'>(isBound ? 8 : 7).fill('i32'));
  const [rows, count, stride, dim, q, a] = f.parameters as [Local, Local, Local, Local, Local, Local];
  const b = f.parameters[6]!;
  const out = f.parameters.at(-1)!;
  const [row, c, column, place, other] = Array.from({ length: 5 }, () => f.local('i32')) as [Local, Local, Local, Local, Local]; // prettier-ignore
  const sums = Array.from({ length: 4 }, () => f.local('v128'));
  const x = f.local('v128');
  const width = shl(get(stride), i32(3));
  const product = (t: number) => f64x2.mul(get(x), v128.load(get(place), VECTOR * t));
  const term = (t: number) =>
    isBound ? f64x2.max(product(t), f64x2.mul(get(x), v128.load(get(other), VECTOR * t))) : product(t);
  const at = (address: Local) => add(get(address), shl(get(column), i32(3)));
  f.body = loopWhile(
    lessThan(get(row), get(rows)),
    block(
      set(column, i32(0)),
      loopWhile(
        lessThan(get(column), get(count)),
        block(
          ...sums.map(sum => set(sum, f64x2.of(0))),
          set(place, at(a)),
          ...(isBound ? [set(other, at(b))] : []),
          set(c, i32(0)),
          loopWhile(
            lessThan(get(c), get(dim)),
            block(
              set(x, f64x2.loadSplat(add(get(q), shl(get(c), i32(3))))),
              ...sums.map((sum, t) => set(sum, f64x2.add(get(sum), term(t)))),
              increase(place, width),
              ...(isBound ? [increase(other, width)] : []),
              increase(c, i32(1)),
            ),
          ),
          ...sums.map((sum, t) => v128.store(at(out), get(sum), VECTOR * t)),
          increase(column, i32(8)),
        ),
      ),
      increase(q, shl(get(dim), i32(3))),
      increase(out, width),
      increase(row, i32(1)),
    ),
  );
  return f;
}
