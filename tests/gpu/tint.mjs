// Every shader through Tint, the compiler of Chromium: node tests/gpu/tint.mjs FOLDER, where `npm i webgpu` was run.
import { createRequire } from 'module';
import fs from 'fs';
const { create, globals } = createRequire(process.cwd() + '/')('webgpu');
Object.assign(globalThis, globals);
const folder = process.argv[2];
// no driver is asked, only Tint; `gpu` is held on to, for it ends with its last reference
const gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
if (!adapter) { console.log('SKIPPED: Dawn finds no adapter'); process.exit(77); }
const features = [...adapter.features].filter(f => ['shader-f16', 'subgroups'].includes(f));
const device = await adapter.requestDevice({ requiredFeatures: features });
const count = { ok: 0, wrong: 0, skipped: 0 };
for (const file of fs.readdirSync(folder).sort()) {
    let code = fs.readFileSync(`${folder}/${file}`, 'utf8');
    const wants = [[/enable wgpu_cooperative_matrix/, 'nothing like it in WebGPU'], [/enable f16/, 'shader-f16'], [/subgroup[A-Z_]/, 'subgroups']]
        .filter(([word]) => word.test(code)).map(([, feature]) => feature);
    const missing = wants.filter(feature => !features.includes(feature));
    if (missing.length) { console.log('SKIPPED', file, missing.join()); count.skipped++; continue; }
    // naga does not know this enable, Tint does not go without
    if (wants.includes('subgroups')) code = 'enable subgroups;\n' + code;
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ code });
    device.createComputePipeline({ layout: 'auto', compute: { module } });
    const error = await device.popErrorScope();
    if (error) { console.log('WRONG', file, error.message.split('\n').slice(0, 6).join('\n    ')); count.wrong++; } else count.ok++;
}
// the judge is awake: a barrier that not all invocations may reach
device.pushErrorScope('validation');
device.createShaderModule({ code: '@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { if (i < 32u) { workgroupBarrier(); } }' });
if (!await device.popErrorScope()) { console.log('WRONG: a barrier in divergent flow was accepted'); count.wrong++; }
console.log(`Tint: ${count.ok} shaders accepted, ${count.wrong} not, ${count.skipped} skipped`);
process.exit(gpu && count.wrong ? 1 : 0);
