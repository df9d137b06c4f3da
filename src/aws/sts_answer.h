/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What AWS STS says to GetCallerIdentity, read strictly: an identity is believed only at the exact
 * place, with the exact types, and when its parts agree with each other.
 */
#ifndef AWS_STS_ANSWER_H
#define AWS_STS_ANSWER_H

#include "base/error.h"
#include "base/str.h"

enum sts_outcome {
        STS_OUTCOME_IDENTIFIED = 1,
        STS_OUTCOME_REFUSED,     /* STS refuses the request; asking again would not help */
        STS_OUTCOME_UNREACHABLE, /* throttled or out of order: asking again may help */
        STS_OUTCOME_STRANGE,     /* an answer that STS would not give */
};

enum { STS_ARN_MIN = 20, STS_ARN_MAX = 2048 };

/* Strings are owned, never NULL; empty where there is nothing to say. */
struct sts_answer {
        enum sts_outcome outcome;
        char *account; /* twelve digits */
        char *arn;     /* of that account and partition */
        char *user_id;
        char *code;    /* STS's error code if it is one of the table in sts_answer.c, or STS_UNKNOWN_CODE */
        char *message; /* what we say of the code, or our reason: never STS's own words */
};
void sts_answer_release(struct sts_answer *a);

#define STS_UNKNOWN_CODE "an unknown code"

/* What came over HTTP; header values are "" when absent. */
struct sts_http {
        int status;
        struct str content_type, content_encoding, body;
};

/* Reads a whole answer. `partition` is that of the host that was asked; the ARN must belong to it. */
void sts_answer_read(const struct sts_http *http, const char *partition, struct sts_answer *ret);

/* "arn:aws:sts::123456789012:assumed-role/web/i-0abc": INVALID_ARGUMENT unless well formed and of this account. */
struct error *sts_arn_check(struct str arn, struct str partition, struct str account) MUST_USE;

/*
 * An identity whose parts are well formed and agree; user_id may be empty. The `sts` process checks what AWS says by this, and
 * auth what the `sts` process says. INVALID_ARGUMENT otherwise.
 */
struct error *sts_identity_check(struct str account, struct str arn, struct str user_id, struct str partition) MUST_USE;

/* What the operator of the joining host can do about a refusal, by its code and message as read; NULL when nothing useful is known. */
const char *sts_refusal_hint(struct str code, struct str message);

/* Whether STS refused a signature because of its time. */
bool sts_refusal_is_about_clock(struct str code, struct str message);

/* Whether an error code asks to slow down or try again, in the words of any AWS service. */
bool sts_code_is_transient(struct str code);

/* The text of the first element <tag> in a document of STS, entities as they are; empty when there is none. */
struct str sts_xml_text(struct str xml, const char *tag);

/*
 * Code and message (both owned by the caller) of an error document, JSON or XML; false if it is neither. The message is
 * our sentence on the code, "" with STS_UNKNOWN_CODE: what AWS writes may repeat what it was sent.
 */
bool sts_error_read(struct str body, char **ret_code, char **ret_message);

#endif
