//! Blocks against gguf-py 0.19 (numpy): one block of random bytes of every kind.
use super::*;

/// Kind, bytes, Σ y, Σ (i + 1)·y, and the numbers at 0, n/3, n/2 + 1 and n - 1.
#[rustfmt::skip]
const GOLDEN: [(&str, &str, f64, f64, [f32; 4]); 8] = [
    ("Q4_0", "b3ade5f1a94106a0956a26afbccdafe562f9", -0.5343017578125, -49.6900634765625, [0.26715087890625, -0.356201171875, -0.62335205078125, -0.62335205078125]),
    ("Q4_1", "291e4a304551370e99b2d74c3427fa48d732a1df", 5.630580902099609, 93.9302749633789, [0.16411209106445312, 0.19419097900390625, 0.16411209106445312, 0.21223831176757812]),
    ("Q5_0", "9128a621f9bd0ccc21397c1ec795ca7748dc03d17a88", 0.606475830078125, 29.075164794921875, [-0.1427001953125, -0.285400390625, -0.1427001953125, 0.285400390625]),
    ("Q5_1", "732c4db01f223f4192c58efd5185f0711ef7677a1f132a81", 28.234130859375, 422.7613525390625, [1.116943359375, 0.35223388671875, 1.8121337890625, 0.4217529296875]),
    ("Q8_0", "0eb0c3ce3be4ebcab72f45b35223479f6e794d57037e2cfde9e15a7789781e3721a5", -82.36083984375, -1878.207275390625, [7.729248046875, -10.39013671875, -11.023681640625, 11.530517578125]),
    ("Q4_K", "a821881e1bdc5d1d8fc83f0b0bb4db71be572209851d3d24f4c0cf83fe4363f82f4759778955f6ced681cbea7179ced2c8f814a13472ff70ce369d8385452a44f318337f08cd1e614f235d3f83bc45fee9ee0403a79be118544441317c9311f85e0429b19f7ec0e156f65a3322e791b880ee995e3f0d307d2fbaf400693a179e0d027ed4e58be7a9ebc28a271d43a788", 501.66265869140625, 58839.314697265625, [4.080230712890625, 3.763031005859375, 1.4971923828125, 0.043731689453125]),
    ("Q5_K", "6aab06a5869793f0aad6ded8116e3ab51681c4a374fec70a68b3e4bdc92b387987416c17ec90963ec766888ab4b80eba7c5cfd81121bea9cee1810dfd5169faf26cd7b5c30c8aba44d972299e8c7b41b9a1d2b0f180600a974d63b6332202c998e82b2522c49c4394c7d73265b6aaf61b288fbd0aecfa766616223611e764c93aa388ffabd0a6a6412b209971e2d827076f7e49ab8fa197271be53a3442b128cdad72bad0f8aeef42a0b9a26d74fc78f", -7448.475402832031, -1199081.679321289, [-3.34625244140625, -9.3160400390625, -14.643951416015625, -72.51950073242188]),
    ("Q6_K", "2562b87049307fd37899c118819af6674394c3f7aa5f93f32c810a37ca7bf1013ccdf8ab8ab4a6039954e84cbe3b3f7f1183c3df8375c517b4e786a9aadf7488f892b12191387ad86aca56d8531c927b931fe8f16e795b9b331767e712dbe8f5331dd9917f01e64710dd3c25f4d21690a049453135550ec0193a8bed1783d53ec944658d1d28960c44b0382e93438e60788d51e279a131f8130b3ea4bd2f5d95e57bd791436d840f4e6654608135bbfb885d346959a49b36402a4f3dcc489fb6511fbe09e5d72bf834e04fe028ca49915aa8", 551.83251953125, -40972.40869140625, [30.29095458984375, 6.96929931640625, -31.82080078125, 11.32086181640625]),
];

/// What gguf-py makes of x = ((37·i mod 64) - 31) / 16.
const Q8_0: &str = "08248518ad40d467fc9124b94be073089d30c457ec7f14a93cd063f88d20b547dc6f";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn blocks_are_read_as_gguf_py_reads_them() {
    for (name, hex, sum, weighted, some) in GOLDEN {
        let kind = KINDS.iter().find(|row| format!("{:?}", row.0) == name).unwrap().0;
        let (bytes, mut y) = (bytes(hex), vec![0.0; kind.block()]);
        kind.decode(&bytes, &mut y);
        let n = y.len();
        assert_eq!([0, n / 3, n / 2 + 1, n - 1].map(|i| y[i]), some, "{name}");
        let ours: f64 = y.iter().map(|&y| f64::from(y)).sum();
        let turned: f64 = y.iter().zip(1..).map(|(&y, i)| f64::from(y) * f64::from(i)).sum();
        let size: f64 = y.iter().map(|y| f64::from(y.abs())).sum();
        assert!((ours - sum).abs() <= 1e-6 * size, "{name}: {ours} is not {sum}");
        assert!((turned - weighted).abs() <= 1e-6 * n as f64 * size, "{name}: {turned} is not {weighted}");
    }
}

#[test]
fn q8_0_is_written_as_gguf_py_writes_it() {
    let x: Vec<f32> = (0..32).map(|i| ((i * 37) % 64 - 31) as f32 / 16.0).collect();
    let mut written = Vec::new();
    Dtype::Q8_0.write(&x, &mut written).unwrap();
    assert_eq!(written, bytes(Q8_0));
    let (zeros, mut out) = ([0.0; 32], [1.0; 32]);
    written.clear();
    Dtype::Q8_0.write(&zeros, &mut written).unwrap();
    Kind::Q8_0.decode(&written, &mut out);
    assert_eq!(out, zeros);
}

#[test]
fn what_is_written_is_read_again() {
    let x: Vec<f32> = (0..96).map(|i| (i as f32 * 0.7).sin()).collect();
    for (dtype, tolerance) in [(Dtype::F32, 0.0), (Dtype::F16, 5e-4), (Dtype::Bf16, 4e-3), (Dtype::Q8_0, 4.5e-3)] {
        let (mut written, mut again) = (Vec::new(), vec![0.0; x.len()]);
        dtype.write(&x, &mut written).unwrap();
        assert_eq!(written.len(), dtype.bytes(x.len()));
        Kind::from(dtype).decode(&written, &mut again);
        assert!(x.iter().zip(&again).all(|(a, b)| (a - b).abs() <= tolerance), "{dtype:?}");
    }
}
