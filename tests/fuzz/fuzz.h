/* What fuzz targets share: a property that does not hold stops the fuzzer with its name. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/invariant.h"

#define HOLDS(e) INVARIANT_CHECK("property", e)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
