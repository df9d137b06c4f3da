/* SPDX-License-Identifier: Apache-2.0 */
/* A version is copied whole or not at all, its major number is what its text begins with, and a host of the same version is accepted. */
#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/version.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str text = str_of_bytes(data, size);
        char copied[VERSION_TEXT_MAX];
        int major = version_major(text);

        version_text(copied, text);
        if (copied[0] != '\0' && !str_equal(str_of(copied), text))
                bug("the copy of a version differs");
        if (major >= 0 && (copied[0] == '\0' || strtol(copied, NULL, 10) != major))
                bug("the major number of '%s' is not %d", copied, major);
        AUTO_PTR(error) err = version_check_host(text, text);
        if (err != NULL)
                bug("a host of the same version is refused");
        return 0;
}
