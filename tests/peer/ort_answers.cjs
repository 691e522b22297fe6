// Runs the cases that test_peer wrote (NAME.onnx with NAME.json of its feed) in ONNX Runtime and
// prints its answers, one line for each result: name, number of the result, type, extents: values.
//
//   node ort_answers.cjs FOLDER > answers.txt
//
// Cases that ONNX Runtime refuses are said on stderr.
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
  f32: ['float32', Float32Array, Number], f64: ['float64', Float64Array, Number],
  i64: ['int64', BigInt64Array, BigInt], i32: ['int32', Int32Array, Number],
  u8: ['uint8', Uint8Array, Number], i8: ['int8', Int8Array, Number], bool: ['bool', Uint8Array, Number],
  i16: ['int16', Int16Array, Number], u16: ['uint16', Uint16Array, Number],
};
const names = Object.fromEntries(Object.entries(kinds).map(([ours, [theirs]]) => [theirs, ours]));

function tensor({ type, dims, data }) {
  if (type === 'string') return new ort.Tensor('string', data, dims);
  const [name, Kind, convert] = kinds[type];
  return new ort.Tensor(name, Kind.from(data, convert), dims);
}

async function answer(folder, name) {
  const feed = JSON.parse(fs.readFileSync(path.join(folder, name + '.json')));
  const session = await ort.InferenceSession.create(path.join(folder, name + '.onnx'), {
    graphOptimizationLevel: 'disabled', intraOpNumThreads: 1, logSeverityLevel: 4,
  });
  const feeds = Object.fromEntries(feed.map((x) => [x.name, tensor(x)]));
  const results = await session.run(feeds);
  for (const key of session.outputNames) {
    const y = results[key];
    const values = Array.from(y.data, (v) => (y.type === 'string' ? JSON.stringify(v) : y.type === 'float32' ? String(Math.fround(v)) : String(v)));
    console.log(`${name} ${key.slice(1)} ${names[y.type] || y.type} ${y.dims.join(',')}: ${values.map(shorter).join(' ')}`);
  }
}

// f32 values need nine digits.
function shorter(text) {
  const v = Number(text);
  return /[.e]/.test(text) && Number.isFinite(v) ? String(Number(v.toPrecision(9))) : text;
}

// One case by itself, or each in a process of its own: some end ONNX Runtime's.
const [folder, only] = process.argv.slice(2);
if (only) {
  answer(folder, only).catch((e) => {
    console.error(only + ': ' + String(e.message || e).split('\n')[0]);
    process.exitCode = 1;
  });
} else {
  console.log(`# Answers of ONNX Runtime ${version} (CPU), as tests/peer/ort_answers.cjs prints them.`);
  for (const file of fs.readdirSync(folder).sort()) {
    if (!file.endsWith('.onnx')) continue;
    const name = file.slice(0, -5);
    const run = require('child_process').spawnSync(process.execPath, [__filename, folder, name], { encoding: 'utf8' });
    process.stdout.write(run.stdout);
    if (run.status !== 0) console.error(run.stderr.trim() || `${name}: ended by ${run.signal}`);
  }
}
