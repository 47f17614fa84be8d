"""A machine that runs PTX text in NumPy: no GPU, and less mercy than one.

Every register is an array with one slot a thread. Threads step together by 32 (a warp), by 128 (four warps,
which wgmma needs) or by block; such groups run in a shuffled order from barrier to barrier, so that a barrier
that is missing shows. Copies that run beside the kernel land only when they are waited for, and what they
will overwrite is poison from the moment they begin. Shared memory is poison at first: NaN of every type.
Whatever touches memory outside of its regions, or an address that is not aligned, is a Fault.

Not shown: what only a GPU knows, which is time, the last bits of approximations, and fences that are missing.
"""
