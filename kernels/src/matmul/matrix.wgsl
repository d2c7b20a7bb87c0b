enable f16;
enable wgpu_cooperative_matrix;
// Rung 6 multiplies with the matrix units, in f16 with sums in f32. A subgroup makes 2 x 2 matrices of SIDE x SIDE, four
// subgroups a tile of 4 SIDE x 4 SIDE. Costs: subgroups must have LANES invocations, as the check of rungs finds out;
// whole tiles only: where c is not made of such, it comes out of an array that is (sum_parts.wgsl).
