/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of host names of AWS STS; names are compared byte by byte.
 *
 * A signed GetCallerIdentity is proof only when the real STS verifies it, so hosts are not matched by pattern: AWS's
 * customers can choose names under AWS's domain suffixes.
 */
#ifndef AWS_STS_HOSTS_H
#define AWS_STS_HOSTS_H

#include "base/error.h"
#include "base/str.h"

enum { STS_HOST_NAME_MAX = 96, STS_REGION_MAX = 32 };

struct sts_host {
        char name[STS_HOST_NAME_MAX]; /* "sts.eu-west-1.amazonaws.com", NUL-terminated */
        char region[STS_REGION_MAX];  /* region to sign for; us-east-1 for the global host */
        const char *partition;        /* "aws", "aws-cn" …; static */
        bool is_global;               /* sts.amazonaws.com */
        bool is_fips;                 /* answers with validated cryptography only */
        bool is_guessed;              /* sts_host_for_region: well formed, but not in the table */
};

struct sts_host_options {
        bool fips; /* only hosts that are FIPS endpoints */
        /* Regions newer than this release: "region" (partition aws) or "region=partition"; NULL-terminated or NULL. */
        const char *const *extra_regions;
};

/* Whether `host` is exactly one of the table's names. options NULL: no FIPS, no extra regions. */
bool sts_host_find(struct str host, const struct sts_host_options *options, struct sts_host *ret) MUST_USE;

/*
 * The error for a `host` that sts_host_find() refused: PERMISSION_DENIED. It distinguishes an unknown but well-formed
 * region (hint: extra_regions) from a name that is not of STS.
 */
struct error *sts_host_explain(struct str host, const struct sts_host_options *options) MUST_USE;

/*
 * The STS host for a client in `region`. For a well-formed region outside the table, the name is derived by AWS's
 * scheme and is_guessed is set: the server decides whether to accept it. aws-global gives the global host (us-east-1's
 * under FIPS). Under FIPS, a commercial region without a FIPS host gives us-east-1's. INVALID_ARGUMENT: no region has
 * this form. FAILED_PRECONDITION: no FIPS host in this partition.
 */
struct error *sts_host_for_region(struct str region, const struct sts_host_options *options,
                                  struct sts_host *ret) MUST_USE;

/* INVALID_ARGUMENT if an entry of extra_regions is malformed or names an unknown partition. */
struct error *sts_extra_region_check(struct str entry) MUST_USE;

/* Lower-case letters, digits and single dashes, at least two of them, as all region names are. */
bool aws_region_is_well_formed(struct str region);

#endif
