/* SPDX-License-Identifier: Apache-2.0 */
/* Property: an SNI that names an application is what app_sni_new() writes for the name and the port that were read. */
#include "cluster/app_sni.h"

#include "base/bug.h"
#include "base/mem.h"

enum { SNI_MAX = 255 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str sni = str_of_bytes(data, size < SNI_MAX ? size : SNI_MAX), app;
        uint32_t port;

        if (!app_sni_read(sni, &app, &port))
                return 0;
        if (port > UINT16_MAX)
                bug("a port is too large");
        AUTO_MEM char *name = str_dup(app);
        AUTO_MEM char *again = app_sni_new(name, port);
        if (str_find_char(app, '\0') == app.len && !str_equal(str_of(again), sni))
                bug("it names something else");
        return 0;
}
