// The allocator's place in the bridge.
#pragma once

/** Makes libtorch take the memory of CPU tensors from an allocator that keeps freed blocks. Once, before any tensor. */
void keepFreedBlocks();
