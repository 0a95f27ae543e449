/** What signed requests are signed with. */
export const benchSecret = "the bench's secret";
