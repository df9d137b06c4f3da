/* SPDX-License-Identifier: Apache-2.0 */
/* Property: an answer that is accepted for its metrics is accepted without them too. */
#include "base/bug.h"
#include "supervisor/upgrade_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO_PTR(error) with_metrics = upgrade_answer_check(str_of_bytes(data, size), true);
        AUTO_PTR(error) without = upgrade_answer_check(str_of_bytes(data, size), false);

        if (with_metrics == NULL && without != NULL)
                bug("metrics are a further condition");
        return 0;
}
