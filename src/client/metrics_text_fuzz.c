/* SPDX-License-Identifier: Apache-2.0 */
/* Checks that everything that is kept of any bytes is printable ASCII, and that each label of a series is found by its name. */
#include <math.h>

#include "base/bug.h"
#include "client/metrics_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(metrics_text) m = { 0 };
        AUTO_PTR(error) err = metrics_text_parse(str_of_bytes(data, size), &m);

        for (size_t i = 0; i < m.count; i++) {
                struct str series = m.all[i].series;

                if (err != NULL || series.len == 0)
                        bug("a sample of a text that was refused");
                for (size_t k = 0; k < series.len; k++)
                        if (series.ptr[k] < ' ' || series.ptr[k] > '~')
                                bug("a series could control a terminal");
                if (series.ptr[series.len - 1] == '}' && metrics_text_label(series, "").len != 0)
                        bug("a label without a name");
        }
        if (m.count > 0)
                (void)metrics_text_within(&m, "h", "", 0.99);
        return 0;
}
