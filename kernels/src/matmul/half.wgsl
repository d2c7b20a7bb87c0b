enable f16;
// Rung 5 keeps the tiles of rung 4 in half precision: half the workgroup memory and its traffic, sums still in
// single. Costs: operands lose all but 11 bits and overflow at 65,504. For RLHF_TUNE=half.
alias Cell = vec4h;
