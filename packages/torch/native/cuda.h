// What a GPU needs beyond operators.
#pragma once

#include <ATen/core/Generator.h>

#include <vector>

/** Before the first use of a GPU on this thread: from here on it works on a stream of its own. */
void enterCuda();

/** The numbers that generators of this thread draw on a GPU; by random.cpp, which has the generators. */
std::vector<at::Generator> cudaGenerators();
