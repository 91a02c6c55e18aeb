// What a card needs beyond operators, and the bridge's share in it.
#pragma once

#include <ATen/core/Generator.h>

#include <vector>

/** Before the first use of a card on this thread: from here on it works on a stream of its own. */
void enterCuda();

/** The numbers that generators of this thread draw on a card; by random.cpp, which has the generators. */
std::vector<at::Generator> cudaGenerators();
