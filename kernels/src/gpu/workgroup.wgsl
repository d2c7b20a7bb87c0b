// Reductions over a workgroup of THREADS invocations, in a fixed order. Every invocation gets the result.
var<workgroup> lanes: array<f32, THREADS>;

fn total(lane: u32, value: f32) -> f32 {
    lanes[lane] = value;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            lanes[lane] += lanes[lane + half];
        }
    }
    workgroupBarrier();
    let sum = lanes[0];
    workgroupBarrier();
    return sum;
}

fn largest(lane: u32, value: f32) -> f32 {
    lanes[lane] = value;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            lanes[lane] = max(lanes[lane], lanes[lane + half]);
        }
    }
    workgroupBarrier();
    let most = lanes[0];
    workgroupBarrier();
    return most;
}
