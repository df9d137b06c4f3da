/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limit_products.h"

#define LIMIT_PRODUCT(process, what, bytes, mib)                                                                                                    \
        _Static_assert((long long)(bytes) > 0 && (long long)(bytes) <= (long long)(mib)*MiB, process ": " what);
LIMIT_PRODUCTS
