/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict parser of AWS STS's answer to GetCallerIdentity: an identity is accepted only from the exact members, with the
 * exact types, and when its parts agree with each other.
 */
#ifndef AWS_STS_ANSWER_H
#define AWS_STS_ANSWER_H

#include "base/error.h"
#include "base/str.h"

enum sts_outcome {
        STS_OUTCOME_IDENTIFIED = 1,
        STS_OUTCOME_REFUSED,     /* STS refuses the request; a retry would not help */
        STS_OUTCOME_UNREACHABLE, /* throttled or unavailable: a retry may help */
        STS_OUTCOME_STRANGE,     /* an answer that the real STS would not send */
};

enum { STS_ARN_MIN = 20, STS_ARN_MAX = 2048 };

/* Strings are owned, never NULL; empty where not applicable. */
struct sts_answer {
        enum sts_outcome outcome;
        char *account; /* twelve digits */
        char *arn;     /* of that account and partition */
        char *user_id;
        char *code;    /* STS's error code if it is one of the table in sts_answer.c, or STS_UNKNOWN_CODE */
        char *message; /* our text for the code, or our reason: never STS's own text */
};
void sts_answer_release(struct sts_answer *a);

#define STS_UNKNOWN_CODE "an unknown code"

/* The HTTP response; header values are "" when absent. */
struct sts_http {
        int status;
        struct str content_type, content_encoding, body;
};

/* Reads a whole answer. `partition` is that of the host that sent it; the ARN must belong to it. */
void sts_answer_read(const struct sts_http *http, const char *partition, struct sts_answer *ret);

/* "arn:aws:sts::123456789012:assumed-role/web/i-0abc": INVALID_ARGUMENT unless well formed and of this account. */
struct error *sts_arn_check(struct str arn, struct str partition, struct str account) MUST_USE;

/*
 * Checks that the parts of an identity are well formed and agree; user_id may be empty. The `sts` process checks the
 * answers of AWS with it, and auth the answers of the `sts` process. INVALID_ARGUMENT otherwise.
 */
struct error *sts_identity_check(struct str account, struct str arn, struct str user_id, struct str partition) MUST_USE;

/* A hint for the operator of the joining host on how to resolve a refusal, by its code and message; NULL when none applies. */
const char *sts_refusal_hint(struct str code, struct str message);

/* Whether STS refused a signature because of its time. */
bool sts_refusal_is_about_clock(struct str code, struct str message);

/* Whether an error code of any AWS service means throttling or a temporary error. */
bool sts_code_is_transient(struct str code);

/* The text of the first element <tag> in a document of STS, entities as they are; empty when there is none. */
struct str sts_xml_text(struct str xml, const char *tag);

/*
 * Code and message (both owned by the caller) of an error document, JSON or XML; false if it is neither. The message is
 * our text for the code, "" with STS_UNKNOWN_CODE: AWS's text may repeat parts of the request.
 */
bool sts_error_read(struct str body, char **ret_code, char **ret_message);

#endif
