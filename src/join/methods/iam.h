/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the join method iam, for its test.
 */
#ifndef JOIN_METHODS_IAM_H
#define JOIN_METHODS_IAM_H

#include "base/error.h"
#include "internal.pb-c.h"

/*
 * Whether the answer of the process sts is an identity of the partition that was asked, whatever has become of that process: account
 * and ARN decide who joins. PERMISSION_DENIED otherwise.
 */
struct error *iam_check_identity(const Cteleport__Internal__V1__StsAnswer *answer, const char *sts_host, const char *partition) MUST_USE;

#endif
