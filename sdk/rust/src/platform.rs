//! What differs between threads and the browser: futures there stay where they are.

#[cfg(not(target_arch = "wasm32"))]
mod here {
    /// `Send`, where there are threads.
    pub trait MaybeSend: Send {}
    impl<T: Send + ?Sized> MaybeSend for T {}
    /// `Sync`, where there are threads.
    pub trait MaybeSync: Sync {}
    impl<T: Sync + ?Sized> MaybeSync for T {}

    pub(crate) type Boxed<'a, T> = futures_util::future::BoxFuture<'a, T>;
    pub(crate) type BoxedStream<T> = futures_util::stream::BoxStream<'static, T>;
    pub(crate) type Told<T> = dyn Fn(&T) + Send + Sync;
}

#[cfg(target_arch = "wasm32")]
mod here {
    /// `Send`, where there are threads.
    pub trait MaybeSend {}
    impl<T: ?Sized> MaybeSend for T {}
    /// `Sync`, where there are threads.
    pub trait MaybeSync {}
    impl<T: ?Sized> MaybeSync for T {}

    pub(crate) type Boxed<'a, T> = futures_util::future::LocalBoxFuture<'a, T>;
    pub(crate) type BoxedStream<T> = futures_util::stream::LocalBoxStream<'static, T>;
    pub(crate) type Told<T> = dyn Fn(&T);
}

pub(crate) use here::{Boxed, BoxedStream, Told};
pub use here::{MaybeSend, MaybeSync};
