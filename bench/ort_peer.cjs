// ONNX Runtime as a peer: times one network, or runs it over stored inputs.
//
//   node ort_peer.cjs time MODEL.onnx THREADS SECONDS [DIM=VALUE…]
//       one JSON line {median_ms, p10_ms, p90_ms, runs, load_ms, idle_mb, version}; idle_mb is what the
//       process held before it opened the network
//   node ort_peer.cjs eval MODEL.onnx INPUTS.npy LABELS.npy
//       one JSON line {accuracy, samples}: inputs are f32 [N, …], labels i64 [N]; batches of 1 unless
//       the network's first dimension is free
//
// ONNX Runtime is found in $PEERS/node_modules (npm install onnxruntime-node), or by require().
'use strict';
const fs = require('fs');
const path = require('path');
const home = process.env.PEERS || path.join(require('os').homedir(), '.cache/espalier-peers');

function runtime() {
  for (const place of [path.join(home, 'node_modules/onnxruntime-node'), 'onnxruntime-node']) {
    try {
      return [require(place), require(path.join(place, 'package.json')).version];
    } catch (e) {
      if (e.code !== 'MODULE_NOT_FOUND') throw e;
    }
  }
  console.error('onnxruntime-node is not installed: npm install --prefix ' + home + ' onnxruntime-node');
  process.exit(2);
}
const [ort, version] = runtime();

const kinds = {
  float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array,
  uint8: Uint8Array, int8: Int8Array, bool: Uint8Array,
};

// Deterministic inputs: small waves for floats, small counts for integers.
function input(meta, dims) {
  const shape = meta.shape.map((d) => (typeof d === 'number' ? d : Number(dims[d] ?? 1)));
  const count = shape.reduce((a, b) => a * b, 1);
  const Kind = kinds[meta.type];
  if (!Kind) throw new Error('input type ' + meta.type);
  const data = new Kind(count);
  for (let i = 0; i < count; ++i) {
    if (meta.type.startsWith('float')) data[i] = Math.sin(i * 0.37);
    else if (meta.type === 'int64') data[i] = BigInt(/mask/.test(meta.name) ? 1 : i % 2);
    else data[i] = /mask/.test(meta.name) ? 1 : i % 2;
  }
  return new ort.Tensor(meta.type, data, shape);
}

function quantile(sorted, q) {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

async function open(model, threads) {
  return ort.InferenceSession.create(model, {
    intraOpNumThreads: threads, interOpNumThreads: 1, graphOptimizationLevel: 'all',
  });
}

async function time(model, threads, seconds, dims) {
  const idle = process.memoryUsage().rss / 2 ** 20;
  const start = performance.now();
  const session = await open(model, threads);
  const load = performance.now() - start;
  const feeds = {};
  for (const meta of session.inputMetadata) feeds[meta.name] = input(meta, dims);
  for (let i = 0; i < 5; ++i) await session.run(feeds);
  const times = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end || times.length < 10) {
    const t = process.hrtime.bigint();
    await session.run(feeds);
    times.push(Number(process.hrtime.bigint() - t) / 1e6);
  }
  times.sort((a, b) => a - b);
  console.log(JSON.stringify({
    median_ms: quantile(times, 0.5), p10_ms: quantile(times, 0.1), p90_ms: quantile(times, 0.9),
    runs: times.length, load_ms: load, idle_mb: idle, version,
  }));
}

function npy(file) {
  const bytes = fs.readFileSync(file);
  const header = bytes.readUInt16LE(8);
  const text = bytes.toString('latin1', 10, 10 + header);
  const shape = /'shape': \(([^)]*)\)/.exec(text)[1].split(',').filter((s) => s.trim()).map(Number);
  const kind = { '<f4': Float32Array, '<i8': BigInt64Array }[/'descr': '([^']*)'/.exec(text)[1]];
  if (!kind) throw new Error(file + ': only f32 and i64 are read');
  const at = 10 + header;
  return { shape, data: new kind(bytes.buffer.slice(bytes.byteOffset + at, bytes.byteOffset + bytes.length)) };
}

async function evaluate(model, inputs, labels) {
  const x = npy(inputs);
  const y = npy(labels);
  const session = await open(model, require('os').cpus().length);
  const meta = session.inputMetadata[0];
  const free = typeof meta.shape[0] !== 'number';
  const batch = free ? 100 : meta.shape[0];
  const each = x.data.length / x.shape[0];
  let right = 0;
  for (let i = 0; i + batch <= x.shape[0] || (free && i < x.shape[0]); i += batch) {
    const n = Math.min(batch, x.shape[0] - i);
    const tensor = new ort.Tensor('float32', x.data.slice(i * each, (i + n) * each), [n, ...x.shape.slice(1)]);
    const out = Object.values(await session.run({ [meta.name]: tensor }))[0];
    const classes = out.data.length / n;
    for (let k = 0; k < n; ++k) {
      let best = 0;
      for (let c = 1; c < classes; ++c)
        if (out.data[k * classes + c] > out.data[k * classes + best]) best = c;
      if (BigInt(best) === y.data[i + k]) ++right;
    }
  }
  console.log(JSON.stringify({ accuracy: (100 * right) / x.shape[0], samples: x.shape[0] }));
}

const [verb, model, ...rest] = process.argv.slice(2);
if (verb === 'time' && rest.length >= 2) {
  time(model, Number(rest[0]), Number(rest[1]), Object.fromEntries(rest.slice(2).map((s) => s.split('='))));
} else if (verb === 'eval' && rest.length === 2) {
  evaluate(model, ...rest);
} else {
  console.error('usage: ort_peer.cjs time MODEL THREADS SECONDS [DIM=VALUE…] | eval MODEL INPUTS LABELS');
  process.exit(2);
}
