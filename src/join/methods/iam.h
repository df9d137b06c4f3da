/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private functions of the join method iam, declared for its test.
 */
#ifndef JOIN_METHODS_IAM_H
#define JOIN_METHODS_IAM_H

#include "base/error.h"
#include "internal.pb-c.h"

/*
 * Checks that the answer of the process sts is an identity of the requested partition. The process is not trusted here,
 * as account and ARN decide on the join. PERMISSION_DENIED otherwise.
 */
struct error *iam_check_identity(const Cteleport__Internal__V1__StsAnswer *answer, const char *sts_host, const char *partition) MUST_USE;

#endif
